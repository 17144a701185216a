//! Opening a file.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{opcode, types};
use iolite_io::Output;
use iolite_io::backend::{directory_of, open_flags};
use iolite_io::fs::{At, OpenOptions};
use rustix::fs::ResolveFlags;

use super::files::c_path;
use super::perform::Performer;

pub(super) fn perform(performer: &Performer<'_>, at: At<'_>, options: &OpenOptions) -> io::Result<Output> {
    let (flags, mode) = open_flags(options)?;
    let path = c_path(at.path)?;
    let directory = types::Fd(directory_of(at).as_raw_fd());
    let how =
        types::OpenHow::new().flags(flags.bits().into()).mode(mode.bits().into()).resolve(ResolveFlags::BENEATH.bits());
    let entry = match at.directory {
        Some(_) => opcode::OpenAt2::new(directory, path.as_ptr(), &how).build(),
        None => opcode::OpenAt::new(directory, path.as_ptr()).flags(flags.bits() as i32).mode(mode.bits()).build(),
    };
    // SAFETY: the entry points to `path` and `how`, which are there until it returns.
    let fd = unsafe { performer.run(&entry) }?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(Output::Opened(unsafe { OwnedFd::from_raw_fd(fd as i32) }.into()))
}
