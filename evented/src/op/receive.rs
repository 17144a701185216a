//! Receiving from a socket.
#![allow(unsafe_code)]

use std::io;

use io_uring::opcode;
use iolite_io::backend::{Ready, note_ready, seems_ready};
use iolite_io::operation::{Descriptor, Output};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::limits::COUNT_MAX;
use super::perform::Performer;
use super::wait::receive_in_turn;
use crate::sys;

pub(super) fn perform(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffer: &mut [u8],
    peek: bool,
) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    if let Some(count) = receive_at_once(performer, socket, buffer, peek)? {
        return Ok(Output::Count(count));
    }
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    let place = buffer.as_mut_ptr();
    let entry = |flags| {
        opcode::Recv::new(sys::fd(socket), place, bytes)
            .flags(if peek { sys::MSG_PEEK } else { 0 })
            .ioprio(flags)
            .build()
    };
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = unsafe { receive_in_turn(performer, socket, entry) }?;
    note_ready(socket, Ready::ToReceive, performer.left_more());
    Ok(Output::Count(count.unwrap_or(0) as usize))
}

/// Receives without the ring, where the fiber may and there seems to be something; `None` where there was nothing.
fn receive_at_once(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffer: &mut [u8],
    peek: bool,
) -> io::Result<Option<usize>> {
    if !seems_ready(socket, Ready::ToReceive) || !performer.may_receive(buffer.len()) {
        return Ok(None);
    }
    let peek = if peek { RecvFlags::PEEK } else { RecvFlags::empty() };
    let room = buffer.len();
    match recv(socket, buffer, RecvFlags::DONTWAIT | peek) {
        Ok((count, _)) => {
            note_ready(socket, Ready::ToReceive, count == room);
            Ok(Some(count))
        }
        Err(Errno::AGAIN | Errno::INTR) => {
            note_ready(socket, Ready::ToReceive, false);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
