//! Bringing a file to the disk.
#![allow(unsafe_code)]

use std::io;

use io_uring::{opcode, types};
use iolite_io::operation::{Descriptor, Output};
use rustix::fs::{fdatasync, fsync};
use rustix::io::retry_on_intr;

use super::perform::Performer;
use crate::sys;

pub(super) fn perform(performer: &Performer<'_>, file: &Descriptor, data_only: bool) -> io::Result<Output> {
    let flags = if data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
    let entry = opcode::Fsync::new(sys::fd(file)).flags(flags).build();
    let sync = if data_only { fdatasync::<&Descriptor> } else { fsync::<&Descriptor> };
    // SAFETY: the entry points to nothing; the descriptor is borrowed until it returns.
    unsafe { performer.run_or_call(&entry, || Ok(retry_on_intr(|| sync(file)).map(|()| 0)?)) }?;
    Ok(Output::Done)
}
