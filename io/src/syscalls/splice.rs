//! Moving bytes between descriptors, for all backends on Linux.

use std::io::{self, IoSliceMut};
use std::ops::Range;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, SeekFrom, StatxFlags, seek, sendfile, statx};
use rustix::io::{Errno, ReadWriteFlags, preadv2, retry_on_intr};
use rustix::param::page_size;
use rustix::pipe::{SpliceFlags, splice};

use super::attempt::file_type;
use super::quick::cached_pages;
use crate::descriptor::Descriptor;
use crate::operation::Interest;

/// The result of an attempt at [`Operation::Splice`](crate::operation::Operation::Splice).
#[derive(Debug)]
pub enum Spliced<'a> {
    /// This number of bytes was moved; 0 at the end.
    Moved(usize),
    /// No byte was moved. Wait for this descriptor before the next attempt.
    NotReady(&'a Descriptor, Interest),
    /// No byte was moved: one side is on a disk, for which the thread would have to block. The other side is this pipe,
    /// which may have to be waited for.
    OnDisk(&'a Descriptor, Interest),
    /// No byte was moved: a part of the file is not in memory, and the thread would have to block for it. The other
    /// side is a socket, which may have to be waited for as well.
    NotInMemory,
}

/// Says whether a thread may block for a disk. No request can end such a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskWait {
    /// The thread may block.
    Allowed,
    /// The thread may not block.
    Refused,
}

/// The kind of a descriptor, as far as it matters for splicing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    Disk,
    /// May block whatever the flags say.
    Other,
}

/// Attempts an [`Operation::Splice`](crate::operation::Operation::Splice) without waiting, except for a disk if that is
/// allowed.
///
/// # Cancellation
///
/// Not a cancellation point: the backend checks first.
///
/// # Errors
///
/// The errors of `splice` and `sendfile`; `EINVAL` for descriptors that do not go together. `EINTR` if the call waits
/// for the disk, which on some file systems is a server.
pub fn try_splice<'a>(
    from: &'a Descriptor,
    from_offset: Option<u64>,
    to: &'a Descriptor,
    bytes: usize,
    disk: DiskWait,
) -> io::Result<Spliced<'a>> {
    let refused = disk == DiskWait::Refused;
    let _nonblocking = match (Kind::of(from)?, Kind::of(to)?) {
        (Kind::Disk, Kind::Socket) => return try_send_file(from, from_offset, to, bytes, disk),
        (Kind::Pipe, Kind::Disk) if refused => return Ok(Spliced::OnDisk(from, Interest::Readable)),
        (Kind::Disk, Kind::Pipe) if refused => return Ok(Spliced::OnDisk(to, Interest::Writable)),
        (Kind::Pipe, Kind::Pipe | Kind::Disk) | (Kind::Disk, Kind::Pipe) => None,
        // The flag of the call itself only applies to the pipe.
        (Kind::Pipe, Kind::Socket) => Some(to.nonblocking()?),
        (Kind::Socket, Kind::Pipe) => Some(from.nonblocking()?),
        _ => return Err(Errno::INVAL.into()),
    };
    let attempt = || {
        let mut offset = from_offset;
        splice(from, offset.as_mut(), to, None, bytes, SpliceFlags::NONBLOCK)
    };
    match retry_on_intr(attempt) {
        Ok(count) => Ok(Spliced::Moved(count)),
        Err(Errno::AGAIN) => not_ready(from, to),
        Err(error) => Err(error.into()),
    }
}

/// Returns true if the kernel moves bytes between the two without a pipe: from a file to a socket.
pub(crate) fn is_file_to_socket(from: &Descriptor, to: &Descriptor) -> bool {
    Kind::of(from) == Ok(Kind::Disk) && Kind::of(to) == Ok(Kind::Socket)
}

/// Attempts to send a part of a file. Sends nothing from the end of the file on: a file without a length is not a file
/// on a disk, whatever its mode says, and may block. If the thread may not wait, uses the length that is known without
/// asking a server.
fn try_send_file<'a>(
    file: &'a Descriptor,
    offset: Option<u64>,
    socket: &'a Descriptor,
    bytes: usize,
    disk: DiskWait,
) -> io::Result<Spliced<'a>> {
    let begin = offset.map_or_else(|| seek(file, SeekFrom::Current(0)), Ok)?;
    let sync = if disk == DiskWait::Refused { AtFlags::STATX_DONT_SYNC } else { AtFlags::empty() };
    let length = statx(file, "", AtFlags::EMPTY_PATH | sync, StatxFlags::SIZE)?.stx_size;
    let end = begin.saturating_add(bytes as u64).min(length);
    if begin >= end {
        return Err(Errno::INVAL.into());
    }
    if disk == DiskWait::Refused && !is_in_memory(file, begin..end)? {
        return Ok(Spliced::NotInMemory);
    }
    let _nonblocking = socket.nonblocking()?;
    let mut offset = offset;
    match sendfile(socket, file, offset.as_mut(), (end - begin) as usize) {
        Ok(count) => Ok(Spliced::Moved(count)),
        Err(Errno::AGAIN) => Ok(Spliced::NotReady(socket, Interest::Writable)),
        Err(error) => Err(error.into()),
    }
}

/// Returns true if a part of a file, which is not empty, is in memory.
///
/// The kernel counts the pages that it has, including those that are being read from a disk. So the last page is also
/// read, in a way that does not wait. If the kernel does not count, because others may write to the file and this
/// process may not, each page is read.
///
/// # Errors
///
/// `EINVAL` if the file system does not support the question.
fn is_in_memory(file: &Descriptor, part: Range<u64>) -> io::Result<bool> {
    let page_bytes = page_size() as u64;
    let last = part.end - 1;
    let mut pages = part.start / page_bytes..last / page_bytes + 1;
    match cached_pages(file, pages.start * page_bytes..pages.end * page_bytes) {
        Ok(count) if count < pages.end - pages.start => return Ok(false),
        Ok(_) => pages.start = pages.end - 1,
        Err(_) => {}
    }
    for page in pages {
        let offset = (page * page_bytes).clamp(part.start, last);
        match preadv2(file, &mut [IoSliceMut::new(&mut [0])], offset, ReadWriteFlags::NOWAIT) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::OPNOTSUPP) => return Err(Errno::INVAL.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Returns the side because of which an attempt failed, so that no two waits are needed.
fn not_ready<'a>(from: &'a Descriptor, to: &'a Descriptor) -> io::Result<Spliced<'a>> {
    let mut entries = [PollFd::new(from, PollFlags::IN), PollFd::new(to, PollFlags::OUT)];
    retry_on_intr(|| poll(&mut entries, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
    // Not decided by errors and ends, which are also reported when there is nothing to move.
    Ok(if !entries[0].revents().contains(PollFlags::IN) {
        Spliced::NotReady(from, Interest::Readable)
    } else {
        // Or it is ready by now, and the wait returns at once.
        Spliced::NotReady(to, Interest::Writable)
    })
}

impl Kind {
    fn of(descriptor: &Descriptor) -> rustix::io::Result<Self> {
        Ok(match file_type(descriptor)? {
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            FileType::RegularFile | FileType::BlockDevice => Self::Disk,
            _ => Self::Other,
        })
    }
}
