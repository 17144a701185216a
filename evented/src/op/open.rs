//! Opening a file.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::squeue::{self, Entry};
use io_uring::{opcode, types};
use iolite_io::backend::{Waiting, directory_of, explained, file_type, open_cached, open_file, open_flags, waiting_of};
use iolite_io::fs::{OpenOptions, PathAt};
use iolite_io::operation::{Descriptor, Output};
use rustix::fs::{AtFlags, FileType, OFlags, ResolveFlags, statat};

use super::files::c_path;
use super::perform::{Performer, lacks_thread};
use crate::sys;

pub(super) fn perform(performer: &Performer<'_>, at: PathAt<'_>, options: &OpenOptions) -> io::Result<Output> {
    let (flags, mode) = open_flags(options)?;
    let path = c_path(at.path)?;
    let directory = sys::fd(directory_of(at));
    let how =
        types::OpenHow::new().flags(flags.bits().into()).mode(mode.bits().into()).resolve(ResolveFlags::BENEATH.bits());
    let entry = match at.directory {
        Some(_) => opcode::OpenAt2::new(directory, path.as_ptr(), &how).build(),
        None => opcode::OpenAt::new(directory, path.as_ptr()).flags(flags.bits() as i32).mode(mode.bits()).build(),
    };
    let open = |performer: &Performer<'_>, entry: &Entry| {
        // SAFETY: the entry points to `path` and `how`, which live until `run` returns.
        let fd = unsafe { performer.run(entry) }?;
        // SAFETY: it is a new descriptor that no other code knows.
        Ok(Descriptor::from(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    };
    performer.check_open()?;
    let cached = open_cached(at, flags).map(|opened| opened.map(Descriptor::from).map_err(io::Error::from));
    let first = match cached.unwrap_or_else(|| open(performer, &entry)) {
        Err(error) if lacks_thread(&error) => {
            // It must not open on the calling thread, where it could wait for ever.
            if !flags.contains(OFlags::NONBLOCK) && is_fifo(at) {
                return Err(no_thread(error));
            }
            return performer.call(|| open_on_thread(at, options)).map(Output::Opened);
        }
        first => first,
    };
    if flags.contains(OFlags::NONBLOCK) || !lacks_other_end(&first) {
        return first.map(Output::Opened);
    }
    // The first descriptor stays open until then, so that a program that has opened the other end in the meantime keeps
    // its peer.
    match open(&performer.keeping_worker(), &entry.flags(squeue::Flags::ASYNC)) {
        Err(error) if lacks_thread(&error) => Err(no_thread(error)),
        result => result.map(Output::Opened),
    }
}

fn open_on_thread(at: PathAt<'_>, options: &OpenOptions) -> io::Result<Descriptor> {
    loop {
        match open_file(at, options) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn is_fifo(at: PathAt<'_>) -> bool {
    let stat = statat(directory_of(at), at.path, AtFlags::empty());
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

#[cold]
fn no_thread(source: io::Error) -> io::Error {
    explained(io::ErrorKind::Other, "the system cannot start a thread to wait for the other end of a FIFO", source)
}

/// Returns true if the file is a FIFO that may have been opened without the other end, so that the open has to wait for
/// it.
///
/// The kernel first tries to open with `O_NONBLOCK`, and accepts the result (up to Linux 6.18).
fn lacks_other_end(opened: &io::Result<Descriptor>) -> bool {
    match opened {
        // The descriptor keeps this answer, which reads use too.
        Ok(opened) if waiting_of(opened) == Ok(Waiting::ForDisk) => false,
        Ok(opened) => file_type(opened) == Ok(FileType::Fifo),
        Err(error) => error.raw_os_error() == Some(sys::ENXIO),
    }
}
