//! Waiting for a descriptor: because somebody asks for it, and where the kernel does not do so by itself.
//!
//! io_uring answers `EAGAIN` at once for a descriptor with `O_NONBLOCK`: listeners, and whatever
//! non-blocking sockets a program brings along.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use iolite_io::backend::{Waiting, waiting_of, yield_now};
use iolite_io::{Descriptor, Interest, Output};
use rustix::event::epoll;
use rustix::io::Errno;

use super::perform::Performer;

pub(super) fn perform(performer: &Performer<'_>, descriptor: &Descriptor, interest: Interest) -> io::Result<Output> {
    wait(performer, descriptor, interest.poll_events()).map(|()| Output::Done)
}

/// Attempts until it succeeds to read or write at the position of what the kernel does not do in a ring without
/// blocking its thread: pipes with names, terminals, devices, which to poll first is no promise. `None` for
/// everything else, which the ring does.
pub(super) fn unless_ring(
    performer: &Performer<'_>,
    file: &Descriptor,
    events: libc::c_short,
    mut attempt: impl FnMut() -> rustix::io::Result<usize>,
) -> io::Result<Option<usize>> {
    loop {
        if let Waiting::ForDisk | Waiting::CanBeRefused = waiting_of(file)? {
            return Ok(None);
        }
        performer.check_open()?;
        match attempt() {
            Err(Errno::AGAIN) if waiting_of(file)? == Waiting::CanBeRefused => return Ok(None),
            Err(Errno::AGAIN) => wait(performer, file, events)?,
            Err(Errno::INTR) => {}
            result => {
                // No wait has given the other fibers their turn.
                yield_now();
                return Ok(Some(result?));
            }
        }
    }
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
    match unsafe { performer.run(&poll) } {
        // A poll in a ring knows two wait queues at most. Devices may have more, and a terminal, which has two, seems to at
        // times, when it is written to meanwhile (seen up to Linux 6.18).
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => wait_by_epoll(performer, descriptor, events),
        result => result.map(drop),
    }
}

/// The same through an epoll instance, which knows any number of wait queues and has one itself.
#[cold]
fn wait_by_epoll(performer: &Performer<'_>, descriptor: &Descriptor, events: libc::c_short) -> io::Result<()> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let events = epoll::EventFlags::from_bits_retain(events as u32);
    epoll::add(&set, descriptor, epoll::EventData::new_u64(0), events)?;
    let poll = opcode::PollAdd::new(types::Fd(set.as_raw_fd()), libc::POLLIN as u32).build();
    // SAFETY: it points to nothing.
    unsafe { performer.run(&poll) }.map(drop)
}
