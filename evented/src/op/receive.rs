//! Receiving from a socket.
#![allow(unsafe_code)]

use std::io::{self, IoSliceMut};
use std::mem;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::{Descriptor, Output};

use super::perform::Performer;
use super::poll::run_or_wait;
use super::{BUFFERS_MAX, COUNT_MAX};

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
    let count = unsafe { run_or_wait(performer, socket, libc::POLLIN, &entry) }?;
    Ok(Output::Count(count as usize))
}

pub(super) fn perform_vectored(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<Output> {
    if buffers.iter().all(|buffer| buffer.is_empty()) {
        return Ok(Output::Count(0));
    }
    // SAFETY: all-zero is a header without a name, buffers and control data.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    // `IoSliceMut` is an `iovec` in memory, by std's promise.
    header.msg_iov = buffers.as_mut_ptr().cast();
    header.msg_iovlen = buffers.len().min(BUFFERS_MAX);
    let entry = opcode::RecvMsg::new(types::Fd(socket.as_raw_fd()), &mut header).build();
    // SAFETY: the entry points to `header`, that to `buffers`; both are there until it returns.
    let count = unsafe { run_or_wait(performer, socket, libc::POLLIN, &entry) }?;
    Ok(Output::Count(count as usize))
}
