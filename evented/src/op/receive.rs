//! Receiving from a socket.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::{Descriptor, Output};

use super::COUNT_MAX;
use super::perform::Performer;
use super::poll::receive_in_turn;

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
    let place = buffer.as_mut_ptr();
    let entry = |flags| {
        opcode::Recv::new(types::Fd(socket.as_raw_fd()), place, bytes)
            .flags(if peek { libc::MSG_PEEK } else { 0 })
            .ioprio(flags)
            .build()
    };
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = unsafe { receive_in_turn(performer, socket, entry) }?;
    Ok(Output::Count(count.unwrap_or(0) as usize))
}
