//! Receiving from a socket.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::{Descriptor, Interest, Output};

use super::COUNT_MAX;
use super::perform::Performer;
use super::poll::run_or_wait;

pub(super) fn perform(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffer: &mut [u8],
    peek: bool,
) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    let entry = opcode::Recv::new(types::Fd(socket.as_raw_fd()), buffer.as_mut_ptr(), bytes)
        .flags(if peek { libc::MSG_PEEK } else { 0 })
        .build();
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = unsafe { run_or_wait(performer, socket, Interest::Readable, &entry) }?;
    Ok(Output::Count(count.unwrap_or(0) as usize))
}
