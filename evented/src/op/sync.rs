//! Bringing a file to the disk.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::{Descriptor, Output};

use super::perform::Performer;

pub(super) fn perform(performer: &Performer<'_>, file: &Descriptor, data_only: bool) -> io::Result<Output> {
    let flags = if data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
    let entry = opcode::Fsync::new(types::Fd(file.as_raw_fd())).flags(flags).build();
    // SAFETY: the entry points to nothing; the descriptor is borrowed until it returns.
    unsafe { performer.run(&entry) }?;
    Ok(Output::Done)
}
