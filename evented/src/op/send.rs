//! Sending to a socket.
#![allow(unsafe_code)]

use std::io;

use io_uring::opcode;
use iolite_io::backend::{Ready, note_ready, seems_ready};
use iolite_io::operation::{Descriptor, Interest, Output, SharedBytes};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::limits::COUNT_MAX;
use super::perform::Performer;
use super::wait::run_or_wait;
use crate::sys;

pub(super) fn perform(performer: &Performer<'_>, socket: &Descriptor, buffer: &[u8], all: bool) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    if let Some(count) = send_at_once(performer, socket, buffer)? {
        return Ok(Output::Count(count));
    }
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    // With MSG_WAITALL the kernel itself goes on after a partial send, which spares an operation.
    let wait_all = if all { sys::MSG_WAITALL } else { 0 };
    let entry = opcode::Send::new(sys::fd(socket), buffer.as_ptr(), bytes).flags(sys::MSG_NOSIGNAL | wait_all).build();
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = unsafe { run_or_wait(performer, socket, Interest::Writable, &entry) }?;
    note_ready(socket, Ready::ToSend, true);
    Ok(Output::Count(count.unwrap_or(0) as usize))
}

/// Sends what there is room for without the ring, where nobody else runs and there seems to be some; `None` where there
/// was none.
fn send_at_once(performer: &Performer<'_>, socket: &Descriptor, buffer: &[u8]) -> io::Result<Option<usize>> {
    if !seems_ready(socket, Ready::ToSend) || !performer.is_alone() {
        return Ok(None);
    }
    match rustix::net::send(socket, buffer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(count) => {
            note_ready(socket, Ready::ToSend, count == buffer.len());
            Ok(Some(count))
        }
        Err(Errno::AGAIN | Errno::INTR) => {
            note_ready(socket, Ready::ToSend, false);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends bytes that the kernel may keep. Where it cannot, and where the caller is no fiber of the
/// runtime, they are copied.
pub(super) fn perform_zero_copy(
    performer: &Performer<'_>,
    socket: &Descriptor,
    bytes: &SharedBytes,
    from: usize,
) -> io::Result<Output> {
    let rest = bytes.rest(from);
    if rest.is_empty() {
        return Ok(Output::Count(0));
    }
    let length = rest.len().min(COUNT_MAX) as u32;
    let entry =
        opcode::SendZc::new(sys::fd(socket), rest.as_ptr(), length).flags(sys::MSG_NOSIGNAL | sys::MSG_WAITALL).build();
    // SAFETY: the entry points into `bytes`.
    match unsafe { performer.run_send(bytes, entry) } {
        Some(Err(error)) if needs_a_copy(&error) => perform(performer, socket, rest, true),
        Some(result) => result.map(|count| Output::Count(count as usize)),
        None => perform(performer, socket, rest, true),
    }
}

/// Whether a copy gets further: an old kernel, a socket that must copy or does not wait, too much memory
/// pinned.
fn needs_a_copy(error: &io::Error) -> bool {
    let passing = [sys::EINVAL, sys::EOPNOTSUPP, sys::EAGAIN, sys::EINTR, sys::ENOMEM, sys::ENOBUFS];
    error.raw_os_error().is_some_and(|errno| passing.contains(&errno))
}
