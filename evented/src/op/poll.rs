//! Waiting for a descriptor: because somebody asks for it, and where the kernel does not do so by itself.
//!
//! io_uring answers `EAGAIN` at once for a descriptor with `O_NONBLOCK`: listeners, and whatever
//! non-blocking sockets a program brings along.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use iolite_io::{Descriptor, Interest, Output};

use super::perform::Performer;

pub(super) fn perform(performer: &Performer<'_>, descriptor: &Descriptor, interest: Interest) -> io::Result<Output> {
    wait(performer, descriptor, interest.poll_events()).map(|()| Output::Done)
}

/// Performs `entry`, and waits for `events` (`POLLIN`, `POLLOUT`) and tries again for as long as it
/// would block.
///
/// # Safety
///
/// What the entry points to is valid until this returns.
pub(super) unsafe fn run_or_wait(
    performer: &Performer<'_>,
    descriptor: &Descriptor,
    events: libc::c_short,
    entry: &Entry,
) -> io::Result<u32> {
    loop {
        // SAFETY: the caller's promise.
        match unsafe { performer.run(entry) } {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => wait(performer, descriptor, events)?,
            other => return other,
        }
    }
}

/// Waits for one of the `events`, or an error of the descriptor.
pub(super) fn wait(performer: &Performer<'_>, descriptor: &Descriptor, events: libc::c_short) -> io::Result<()> {
    let poll = opcode::PollAdd::new(types::Fd(descriptor.as_raw_fd()), events as u32).build();
    // SAFETY: it points to nothing.
    unsafe { performer.run(&poll) }.map(drop)
}
