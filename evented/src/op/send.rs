//! Sending to a socket.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::{Descriptor, Output};

use super::perform::Performer;
use super::poll::run_or_wait;
use super::{BUFFERS_MAX, COUNT_MAX};

pub(super) fn perform(performer: &Performer<'_>, socket: &Descriptor, buffer: &[u8], all: bool) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    // With MSG_WAITALL the kernel itself goes on after a partial send, which spares an operation.
    let wait_all = if all { libc::MSG_WAITALL } else { 0 };
    let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), buffer.as_ptr(), bytes)
        .flags(libc::MSG_NOSIGNAL | wait_all)
        .build();
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = unsafe { run_or_wait(performer, socket, libc::POLLOUT, &entry) }?;
    Ok(Output::Count(count as usize))
}

pub(super) fn perform_vectored(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffers: &[IoSlice<'_>],
) -> io::Result<Output> {
    if buffers.iter().all(|buffer| buffer.is_empty()) {
        return Ok(Output::Count(0));
    }
    // SAFETY: all-zero is a header without a name, buffers and control data.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    // `IoSlice` is an `iovec` in memory, by std's promise; the kernel only reads it.
    header.msg_iov = buffers.as_ptr().cast_mut().cast();
    header.msg_iovlen = buffers.len().min(BUFFERS_MAX);
    let entry = opcode::SendMsg::new(types::Fd(socket.as_raw_fd()), &header).flags(libc::MSG_NOSIGNAL as u32).build();
    // SAFETY: the entry points to `header`, that to `buffers`; both are there until it returns.
    let count = unsafe { run_or_wait(performer, socket, libc::POLLOUT, &entry) }?;
    Ok(Output::Count(count as usize))
}
