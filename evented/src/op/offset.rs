//! Offsets in files, for reads and writes.

use std::io;

use iolite_io::backend::{Waiting, waiting_of};
use iolite_io::operation::Descriptor;
use rustix::io::Errno;

/// Returns the kernel's offset; the highest offset stands for the file's own position.
pub(super) fn kernel_offset(offset: Option<u64>) -> io::Result<u64> {
    const POSITION: u64 = u64::MAX;
    match offset {
        None => Ok(POSITION),
        // The error that `pread` returns for it.
        Some(POSITION) => Err(Errno::INVAL.into()),
        Some(offset) => Ok(offset),
    }
}

/// Refuses an offset for a file that has no offsets, with the error of `pread` or `pwrite`; `ask` makes that call
/// without a buffer. The kernel's rings ignore the offset of such files.
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
