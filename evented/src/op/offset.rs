//! Where in a file an operation reads or writes.

use std::io;

use iolite_io::backend::{Waiting, waiting_of};
use iolite_io::operation::Descriptor;
use rustix::io::Errno;

/// The kernel's offset: the highest one stands for the file's own position.
pub(super) fn kernel_offset(offset: Option<u64>) -> io::Result<u64> {
    const POSITION: u64 = u64::MAX;
    match offset {
        None => Ok(POSITION),
        // What `pread` says of it.
        Some(POSITION) => Err(Errno::INVAL.into()),
        Some(offset) => Ok(offset),
    }
}

/// Refuses an offset of what has none, in the words of `pread` or `pwrite`, whose call without a buffer `ask` is: the
/// kernel's rings ignore it there.
pub(super) fn check_offset(
    file: &Descriptor,
    offset: Option<u64>,
    ask: impl FnOnce(u64) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    match offset {
        Some(offset) if waiting_of(file)? != Waiting::ForDisk => Ok(ask(offset).map(drop)?),
        _ => Ok(()),
    }
}
