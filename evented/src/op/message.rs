//! Messages, with their addresses and descriptors.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use io_uring::opcode;
use iolite_io::backend::{try_receive_many, try_send_many};
use iolite_io::net::{Address, Message, OutgoingMessage, Received};
use iolite_io::operation::{Descriptor, Interest, Output};
use rustix::io::Errno;

use super::limits::LOOK_AGAIN;
use super::perform::Performer;
use super::wait::{receive_in_turn, until_done};
use crate::sys;
use crate::sys::message::{DESCRIPTORS_MAX, Header};

pub(super) fn receive(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffers: &mut [IoSliceMut<'_>],
    peek: bool,
    descriptors_max: usize,
) -> io::Result<Output> {
    let mut header = Header::default();
    let flags = sys::MSG_CMSG_CLOEXEC | if peek { sys::MSG_PEEK } else { 0 };
    let fd = sys::fd(socket);
    let place = header.for_receiving(buffers, descriptors_max);
    let entry = |ioprio| opcode::RecvMsg::new(fd, place).flags(flags as u32).ioprio(ioprio).build();
    // SAFETY: the entry points to `header`, that to itself and `buffers`; both are there until it returns.
    let Some(count) = (unsafe { receive_in_turn(performer, socket, entry) })? else {
        return Ok(Output::Received(Received::default()));
    };
    // SAFETY: it was made for receiving, and the kernel has filled it, for it says how many bytes came.
    unsafe { header.received(count as usize, descriptors_max) }.map(Output::Received)
}

pub(super) fn send(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffers: &[IoSlice<'_>],
    to: Option<&Address>,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<Output> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(Errno::INVAL.into());
    }
    let mut header = Header::default();
    let fd = sys::fd(socket);
    let entry = opcode::SendMsg::new(fd, header.for_sending(buffers, to, descriptors)).flags(SEND_FLAGS as u32).build();
    let attempt = || {
        // SAFETY: the entry points to `header`, that to itself and `buffers`; both, and the descriptors that it
        // names, are there until it returns.
        unsafe { performer.run(&entry) }.map(|count| count as usize)
    };
    until_sent(performer, socket, to, attempt)
}

/// How messages are sent. The kernel must not wait and try again: it would go on behind the bytes that it has
/// read for the first attempt, and send a message without them (seen with Unix sockets, up to Linux 6.18).
pub(crate) const SEND_FLAGS: sys::c_int = sys::MSG_NOSIGNAL | sys::MSG_DONTWAIT;

/// Many messages, with one system call: io_uring has none for that.
pub(super) fn receive_many(
    performer: &Performer<'_>,
    socket: &Descriptor,
    messages: &mut [Message],
) -> io::Result<Output> {
    let count = until_done(performer, socket, Interest::Readable, || try_receive_many(socket, messages))?;
    Ok(Output::Count(count.unwrap_or(0)))
}

/// Sends many messages, with one system call.
pub(super) fn send_many(
    performer: &Performer<'_>,
    socket: &Descriptor,
    messages: &[OutgoingMessage<'_>],
) -> io::Result<Output> {
    let to = messages.first().and_then(|message| message.to.as_ref());
    until_sent(performer, socket, to, || try_send_many(socket, messages))
}

/// Attempts to send until there is room. For room in the queue of a Unix socket that the own one is not connected to
/// nothing can wait; it is looked for again soon.
fn until_sent(
    performer: &Performer<'_>,
    socket: &Descriptor,
    to: Option<&Address>,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> io::Result<Output> {
    let to_other = matches!(to, Some(Address::Unix(_)));
    let attempt = || loop {
        match attempt() {
            Err(error) if to_other && error.kind() == io::ErrorKind::WouldBlock => performer.pause(LOOK_AGAIN)?,
            result => return result,
        }
    };
    let count = until_done(performer, socket, Interest::Writable, attempt)?;
    Ok(Output::Count(count.unwrap_or(0)))
}
