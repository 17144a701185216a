//! Writing to a file.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::{Descriptor, Output};

use super::COUNT_MAX;
use super::perform::Performer;
use super::poll::run_or_wait;
use super::read::POSITION;

pub(super) fn perform(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffer: &[u8],
    offset: Option<u64>,
) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    let entry = opcode::Write::new(types::Fd(file.as_raw_fd()), buffer.as_ptr(), bytes)
        .offset(offset.unwrap_or(POSITION))
        .build();
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = unsafe { run_or_wait(performer, file, libc::POLLOUT, &entry) }?;
    Ok(Output::Count(count as usize))
}
