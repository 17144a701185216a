//! Waiting for a descriptor where the kernel does not do so by itself.
//!
//! io_uring answers `EAGAIN` at once for a descriptor with `O_NONBLOCK`: listeners, and whatever
//! non-blocking sockets a program brings along.
#![allow(unsafe_code)]

use std::io;

use io_uring::opcode;
use io_uring::squeue::Entry;
use iolite_io::backend::{Round, Rounds, Waiting, waiting_of, yield_now};
use iolite_io::operation::{Descriptor, Interest};
use rustix::event::epoll;
use rustix::io::Errno;

use super::limits::LOOK_AGAIN;
use super::perform::Performer;
use crate::sys;

/// Attempts until it succeeds to read or write at the position of what the kernel does not do in a ring without
/// blocking its thread: pipes with names, terminals, devices, which to poll first is no promise. `None` for
/// everything else, which the ring does.
pub(super) fn unless_ring(
    performer: &Performer<'_>,
    file: &Descriptor,
    interest: Interest,
    mut attempt: impl FnMut() -> rustix::io::Result<usize>,
) -> io::Result<Option<usize>> {
    let mut rounds = None;
    loop {
        if let Waiting::ForDisk | Waiting::CanBeRefused = waiting_of(file)? {
            return Ok(None);
        }
        performer.check_open()?;
        match attempt() {
            Err(Errno::AGAIN) if waiting_of(file)? == Waiting::CanBeRefused => return Ok(None),
            Err(Errno::AGAIN) => {
                let rounds = rounds.get_or_insert_with(|| Rounds::new(file, interest));
                if !next_round(performer, rounds, interest)? {
                    return Ok(Some(0));
                }
            }
            Err(Errno::INTR) => performer.check()?,
            result => {
                // No wait has given the other fibers their turn.
                yield_now();
                return Ok(Some(result?));
            }
        }
    }
}

/// Performs `entry`, and waits for the descriptor and tries again for as long as it would block; `None` when
/// nothing can come of that any more.
///
/// # Safety
///
/// What the entry points to is valid until this returns.
pub(super) unsafe fn run_or_wait(
    performer: &Performer<'_>,
    descriptor: &Descriptor,
    interest: Interest,
    entry: &Entry,
) -> io::Result<Option<u32>> {
    // SAFETY: what the entry points to is valid until this function returns, as its caller says; each attempt ends before.
    until_done(performer, descriptor, interest, || unsafe { performer.run(entry) })
}

/// Attempts until it succeeds, waiting for the descriptor whenever it would block; `None` when nothing can come of
/// that any more.
pub(super) fn until_done<T>(
    performer: &Performer<'_>,
    descriptor: &Descriptor,
    interest: Interest,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<Option<T>> {
    let mut rounds = None;
    loop {
        match attempt() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let rounds = rounds.get_or_insert_with(|| Rounds::new(descriptor, interest));
                if !next_round(performer, rounds, interest)? {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => performer.check()?,
            Err(error) => return Err(error),
        }
    }
}

/// `IORING_RECVSEND_POLL_FIRST`: an entry waits for its descriptor before it is tried.
const POLL_FIRST: u16 = 1;

/// Receives by the entry that `entry` makes, with flags of its own, and waits for as long as there is nothing.
///
/// Where there are many fibers, an entry that finds its bytes at once would overtake all those that wait: the kernel tells
/// of it when it is submitted, and of the others a few in each call. So it has to wait like them.
///
/// # Safety
///
/// What the entry points to is valid until this returns.
pub(super) unsafe fn receive_in_turn(
    performer: &Performer<'_>,
    socket: &Descriptor,
    mut entry: impl FnMut(u16) -> Entry,
) -> io::Result<Option<u32>> {
    if performer.is_crowded() {
        // SAFETY: what the entry points to is valid until this function returns, as its caller says; each attempt ends before.
        match unsafe { performer.run(&entry(POLL_FIRST)) } {
            // A non-blocking socket: the kernel has not even tried.
            Err(error) if error.raw_os_error() == Some(sys::EAGAIN) => {}
            other => return other.map(Some),
        }
    }
    // SAFETY: what the entry points to is valid until this function returns, as its caller says; each attempt ends before.
    unsafe { run_or_wait(performer, socket, Interest::Readable, &entry(0)) }
}

/// What is between an attempt that would block and the next one; `false` when there is no next one.
///
/// # Errors
///
/// [`Canceled`](iolite_io::Canceled), whatever the descriptor says: it may be said to be ready each time.
pub(super) fn next_round(performer: &Performer<'_>, rounds: &mut Rounds<'_>, interest: Interest) -> io::Result<bool> {
    performer.check()?;
    match rounds.next(interest)? {
        Round::Wait(descriptor, interest) => wait(performer, descriptor, interest)?,
        Round::Again => {}
        Round::Later => performer.pause(LOOK_AGAIN)?,
        Round::Over => return Ok(false),
    }
    Ok(true)
}

/// Waits until the descriptor is ready, or has an error or its end to tell.
pub(super) fn wait(performer: &Performer<'_>, descriptor: &Descriptor, interest: Interest) -> io::Result<()> {
    let poll = opcode::PollAdd::new(sys::fd(descriptor), interest.poll_events() as u32).build();
    // SAFETY: the entry points to nothing; the descriptor that it names is borrowed until the operation has completed.
    match unsafe { performer.run(&poll) } {
        // A poll in a ring knows two wait queues at most. Devices may have more, and a terminal, which has two, seems to at
        // times, when it is written to meanwhile (seen up to Linux 6.18).
        Err(error) if error.raw_os_error() == Some(sys::EINVAL) => wait_by_epoll(performer, descriptor, interest),
        result => result.map(drop),
    }
}

/// The same through an epoll instance, which knows any number of wait queues and has one itself.
#[cold]
fn wait_by_epoll(performer: &Performer<'_>, descriptor: &Descriptor, interest: Interest) -> io::Result<()> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let events = epoll::EventFlags::from_bits_retain(interest.poll_events() as u32);
    epoll::add(&set, descriptor, epoll::EventData::new_u64(0), events)?;
    let poll = opcode::PollAdd::new(sys::fd(&set), sys::POLLIN as u32).build();
    // SAFETY: the entry points to nothing; the set that it names stays until the operation has completed.
    unsafe { performer.run(&poll) }.map(drop)
}
