//! One entry from its submission to its completion, for whatever context asks.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use io_uring::opcode;
use io_uring::squeue::Entry;
use iolite_io::backend::{Context, PoolMemory, monotonic_now, park};
use iolite_io::{Canceled, Instant, SharedBytes, ShutDown};

use crate::abort::AbortOnUnwind;
use crate::executor::foreign::Message;
use crate::executor::standing::{Answer, Kind};
use crate::executor::{Executor, OpSlot};
use crate::shared::Shared;

/// Performs entries for one context.
pub(super) struct Performer<'a> {
    shared: &'a Shared,
    context: &'a Context,
}

/// Whether a request ends an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Canceled,
    Completed,
}

impl<'a> Performer<'a> {
    pub(super) fn new(shared: &'a Shared, context: &'a Context) -> Self {
        Self { shared, context }
    }

    /// The slot under which the ring in which [`run`](Self::run) performs knows `memory`, if any.
    pub(super) fn registered(&self, memory: Option<&Arc<PoolMemory>>) -> Option<u16> {
        let memory = memory?;
        Executor::with_current_of(self.shared, self.context, |executor| executor.registered(memory)).flatten()
    }

    /// Performs `entry` and waits for its completion; the result is the kernel's, not negative.
    ///
    /// When a request arrives or a timeout passes, the operation is canceled in the kernel, and its
    /// completion awaited all the same: only then the memory it was lent is the caller's again. A
    /// success that came first is reported, and the request stays pending.
    ///
    /// # Errors
    ///
    /// The operation's, with its errno; [`Canceled`]; [`ShutDown`].
    ///
    /// # Safety
    ///
    /// What the entry points to is valid until this returns.
    pub(super) unsafe fn run(&self, entry: &Entry) -> io::Result<u32> {
        // SAFETY: the caller's promise.
        unsafe { self.run_until(entry, Until::Canceled) }
    }

    /// As [`run`](Self::run), but no request ends it.
    ///
    /// # Safety
    ///
    /// As `run`.
    pub(super) unsafe fn run_to_completion(&self, entry: &Entry) -> io::Result<u32> {
        // SAFETY: the caller's promise.
        unsafe { self.run_until(entry, Until::Completed) }
    }

    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn run_until(&self, entry: &Entry, until: Until) -> io::Result<u32> {
        loop {
            let here = Executor::with_current_of(self.shared, self.context, |_| ()).is_some();
            // SAFETY: the caller's promise; the entry was completed before it is used again.
            let (result, canceled) =
                unsafe { if here { self.run_here(entry, until) } else { self.run_elsewhere(entry, until)? } };
            if canceled.is_none() && result == -libc::EINTR && until == Until::Canceled {
                // Not so a close: the descriptor is gone, and its number may be somebody else's.
                continue;
            }
            return self.outcome(result, canceled);
        }
    }

    /// What the kernel's result means to a caller that was perhaps canceled meanwhile.
    fn outcome(&self, result: i32, canceled: Option<Canceled>) -> io::Result<u32> {
        if let Some(canceled) = canceled {
            if result == -libc::ECANCELED || result == -libc::EINTR {
                return Err(canceled.into());
            }
            self.context.recancel(canceled);
        } else if result == -libc::ECANCELED && self.shared.is_closed() {
            // The runtime canceled what was left of foreign operations at its end.
            return Err(ShutDown.into());
        }
        u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }

    /// Waits for `duration`, or less.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub(super) fn pause(&self, duration: Duration) -> io::Result<()> {
        self.context.check(self.shared)?;
        let then = monotonic_now() + duration;
        park(Some(self.context.deadline().map_or(then, |deadline| deadline.min(then))));
        Ok(())
    }

    /// Performs a send whose bytes the kernel may keep; `None` on a context whose own ring cannot
    /// perform it. No bytes are the caller's, so nothing has to end with this call but the answer.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Safety
    ///
    /// The entry points into `bytes`.
    pub(super) unsafe fn run_send(&self, bytes: &SharedBytes, entry: Entry) -> Option<io::Result<u32>> {
        // SAFETY: the caller's promise.
        let arm = |executor: &Executor| unsafe { executor.arm(Kind::Send(bytes.clone()), entry) };
        let standing = Executor::with_current_of(self.shared, self.context, arm)?;
        let mut canceled = None;
        loop {
            match standing.poll(self.context.unparker()) {
                Poll::Ready(Some(Ok(Answer::Sent(result)))) => return Some(self.outcome(result, canceled)),
                Poll::Ready(_) => unreachable!("a send has one answer, its result"),
                Poll::Pending => {}
            }
            if canceled.is_none() {
                canceled = self.context.check(self.shared).err();
                if canceled.is_some() {
                    standing.cancel();
                }
            }
            park(self.deadline(Until::Canceled, canceled.is_some()));
        }
    }

    /// On a fiber of this runtime: in its executor's own ring.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn run_here(&self, entry: &Entry, until: Until) -> (i32, Option<Canceled>) {
        // The kernel writes to this frame.
        let bomb = AbortOnUnwind;
        let slot = Executor::slot(self.context.block());
        // SAFETY: the slot and the caller's memory stay until the loop has seen the result; an
        // unwinding in between ends the process.
        Executor::with_current(|executor| unsafe { executor.submit(&slot, entry.clone()) });
        let outcome = self.await_slot(&slot, until);
        mem::forget(bomb);
        outcome
    }

    fn await_slot(&self, slot: &OpSlot, until: Until) -> (i32, Option<Canceled>) {
        let mut canceled = None;
        loop {
            if let Some(result) = slot.result() {
                return (result, canceled);
            }
            if canceled.is_none() && until == Until::Canceled && !slot.has_ended() {
                canceled = self.context.check(self.shared).err();
                if canceled.is_some() {
                    // SAFETY: as in `run_here`.
                    Executor::with_current(|executor| unsafe { executor.submit_cancellation(slot) });
                }
            }
            park(self.deadline(until, canceled.is_some()));
        }
    }

    /// On any other context: in the ring of some executor, while this context parks.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn run_elsewhere(&self, entry: &Entry, until: Until) -> io::Result<(i32, Option<Canceled>)> {
        let remote = self.shared.begin_foreign()?;
        // As in `run_here`.
        let bomb = AbortOnUnwind;
        let message = Message::new(entry.clone(), self.context.unparker());
        remote.send(&message);
        let mut canceled = None;
        let result = loop {
            if let Some(result) = message.result() {
                break result;
            }
            if canceled.is_none() && until == Until::Canceled {
                canceled = self.context.check(self.shared).err();
                if canceled.is_some() {
                    // To the same executor, behind the message, so that it finds the operation; its
                    // own completion is waited for, so that it cannot find a later one.
                    let entry = opcode::AsyncCancel::new(message.user_data()).build();
                    let cancellation = Message::new(entry, self.context.unparker());
                    remote.send(&cancellation);
                    while cancellation.result().is_none() {
                        park(None);
                    }
                    continue;
                }
            }
            park(self.deadline(until, canceled.is_some()));
        };
        mem::forget(bomb);
        self.shared.end_foreign();
        Ok((result, canceled))
    }

    fn deadline(&self, until: Until, canceled: bool) -> Option<Instant> {
        if canceled || until == Until::Completed { None } else { self.context.deadline() }
    }
}
