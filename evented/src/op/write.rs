//! Writing to a file.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::{opcode, types};
use iolite_io::backend::PoolMemory;
use iolite_io::{Descriptor, Output};
use rustix::fs::SeekFrom;

use super::COUNT_MAX;
use super::perform::Performer;
use super::poll::run_or_wait;
use super::read::kernel_offset;

pub(super) fn perform(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffer: &[u8],
    memory: Option<&Arc<PoolMemory>>,
    offset: Option<u64>,
) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    let before = if offset.is_none() { position(file) } else { None };
    let (file_number, start, offset) = (types::Fd(file.as_raw_fd()), buffer.as_ptr(), kernel_offset(offset)?);
    let entry = match performer.registered(memory) {
        Some(slot) => opcode::WriteFixed::new(file_number, start, bytes, slot).offset(offset).build(),
        None => opcode::Write::new(file_number, start, bytes).offset(offset).build(),
    };
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = unsafe { run_or_wait(performer, file, libc::POLLOUT, &entry) }?;
    if let Some(before) = before
        && count < bytes
    {
        // The disk is full in the middle. Linux (6.18) tries the rest again, and when that fails as a
        // whole, it forgets to move the position by what was written.
        if position(file) == Some(before) {
            rustix::fs::seek(file, SeekFrom::Start(before + u64::from(count)))?;
        }
    }
    Ok(Output::Count(count as usize))
}

/// The position of a file; `None` for what has none.
fn position(file: &Descriptor) -> Option<u64> {
    rustix::fs::tell(file).ok()
}
