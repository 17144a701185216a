//! Attempts to read and write at the position of a file that may wait for another party: a pipe, a terminal, a device.
//!
//! A report that there is something to read is no promise: another reader may be faster, and a read would then wait for
//! more. So a read that follows a wait is made in a way that does not wait. Pipes and sockets accept a flag for that in
//! each call (`RWF_NOWAIT`). Named pipes and terminals do not; they are opened a second time, which gives the new
//! descriptor a mode of its own (`O_NONBLOCK`) and does not change the mode that other processes may share. All others,
//! such as devices, are made non-blocking for moments.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, statx};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, readv, writev};

use crate::descriptor::{Descriptor, Ready, Waiting};

/// Stands for the file's own position.
const POSITION: u64 = u64::MAX;

/// Reads the available bytes at the position. Fails with `EAGAIN` if that would wait for another party.
///
/// # Errors
///
/// The errors of `readv`.
pub fn try_read(file: &Descriptor, buffers: &mut [IoSliceMut<'_>]) -> rustix::io::Result<usize> {
    if file.waiting() != Waiting::CannotBeRefused {
        match preadv2(file, buffers, POSITION, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP) => file.set_waiting(Waiting::CannotBeRefused),
            result => return refusable(file, result),
        }
    }
    nonblocking(file, |file| readv(file, buffers))
}

/// Writes as much as there is room for at the position. Fails with `EAGAIN` if there is none.
///
/// # Errors
///
/// The errors of `writev`.
pub fn try_write(file: &Descriptor, buffers: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    if file.waiting() != Waiting::CannotBeRefused {
        match pwritev2(file, buffers, POSITION, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP) => file.set_waiting(Waiting::CannotBeRefused),
            result => return refusable(file, result),
        }
    }
    nonblocking(file, |file| writev(file, buffers))
}

/// Returns how reads and writes at the position of a file wait. For all but files on a disk, only attempts can tell.
///
/// # Errors
///
/// The errors of [`file_type`].
pub fn waiting_of(file: &Descriptor) -> rustix::io::Result<Waiting> {
    if file.waiting() == Waiting::Unknown {
        match file_type(file)? {
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice => file.set_waiting(Waiting::ForDisk),
            FileType::Socket => file.set_waiting(Waiting::CanBeRefused),
            _ => {}
        }
    }
    Ok(file.waiting())
}

/// Returns the type of the file behind a descriptor, which never changes. Unlike with `fstat`, no file system has to
/// ask its server or its daemon, so this never waits.
///
/// # Errors
///
/// The errors of `statx`.
pub fn file_type(file: &Descriptor) -> rustix::io::Result<FileType> {
    let told = statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE)?;
    Ok(FileType::from_raw_mode(told.stx_mode.into()))
}

/// Returns true if an attempt that does not wait seems to be worth its call. A hint.
#[inline]
pub fn seems_ready(socket: &Descriptor, ready: Ready) -> bool {
    socket.seems(ready)
}

/// Records what the last call says about the next one.
#[inline]
pub fn note_ready(socket: &Descriptor, ready: Ready, seems: bool) {
    socket.set_seems(ready, seems);
}

/// Records that the file accepts calls that do not wait, if the call was understood.
fn refusable(file: &Descriptor, result: rustix::io::Result<usize>) -> rustix::io::Result<usize> {
    if matches!(result, Ok(_) | Err(Errno::AGAIN)) {
        file.set_waiting(Waiting::CanBeRefused);
    }
    result
}

/// Makes a call on a descriptor of the same file that is in non-blocking mode.
fn nonblocking(
    file: &Descriptor,
    call: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<usize>,
) -> rustix::io::Result<usize> {
    if fcntl_getfl(file)?.contains(OFlags::NONBLOCK) {
        return call(file.as_fd());
    }
    if let Some(stand_in) = file.stand_in() {
        return call(stand_in);
    }
    let _nonblocking = file.nonblocking()?;
    call(file.as_fd())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::fd::OwnedFd;

    use rustix::fs::{CWD, Mode, mkfifoat, unlink};

    use super::*;

    fn is_nonblocking(file: &Descriptor) -> bool {
        fcntl_getfl(file).unwrap().contains(OFlags::NONBLOCK)
    }

    fn read(file: &Descriptor) -> rustix::io::Result<usize> {
        try_read(file, &mut [IoSliceMut::new(&mut [0; 8])])
    }

    #[test]
    fn what_cannot_be_asked_is_tried_all_the_same_and_keeps_its_mode() {
        let path = std::env::temp_dir().join(format!("iolite-attempt-{}", std::process::id()));
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let file: Descriptor = OwnedFd::from(OpenOptions::new().read(true).write(true).open(&path).unwrap()).into();
        unlink(&path).unwrap();
        assert_eq!(waiting_of(&file), Ok(Waiting::Unknown));
        assert_eq!(read(&file), Err(Errno::AGAIN));
        assert_eq!(try_write(&file, &[IoSlice::new(b"text")]), Ok(4));
        assert_eq!(read(&file), Ok(4));
        assert_eq!(read(&file), Err(Errno::AGAIN));
        assert!(!is_nonblocking(&file), "others may share it");
    }

    #[test]
    fn pipes_are_tried_and_files_known() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (reader, writer) = (Descriptor::from(OwnedFd::from(reader)), Descriptor::from(OwnedFd::from(writer)));
        assert_eq!(read(&reader), Err(Errno::AGAIN));
        assert_eq!(try_write(&writer, &[IoSlice::new(b"text")]), Ok(4));
        assert_eq!(read(&reader), Ok(4));
        drop(writer);
        assert_eq!(read(&reader), Ok(0));
        assert!(!is_nonblocking(&reader));
        let file = OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap()).into();
        assert_eq!(waiting_of(&file), Ok(Waiting::ForDisk));
    }
}
