//! Which tasks a runtime admits, and how it sees that none is left.
//!
//! A task takes a [`Slot`] before it is admitted: one of `async_limit`, one of `concurrent_limit`, or none that is limited.
//! Whoever runs the task gives the slot back when the task has ended. An [`Admission`] counts all of them, so that a
//! runtime that ends sees when the last one is free: see [`Closing`] for why it misses none.

use super::closing::{Closing, Count};
use crate::runnable::{ConcurrencyUnavailable, ShutDown};
use crate::runnable::{SpawnMode, Start};
use crate::sync::Semaphore;
use crate::{Io, SpawnErrorKind};

/// What a task is counted against, from its admission to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a slot is given back by `Admission::release`"]
pub enum Slot {
    /// `async_limit`.
    Async,
    /// `concurrent_limit`.
    Concurrent,
    /// No limit: the main task, tasks on threads of their own, and tasks that run inline.
    Uncounted,
}

/// The tasks of a runtime, as far as they are counted.
#[derive(Debug)]
pub struct Admission {
    async_limit: usize,
    concurrent_limit: usize,
    async_slots: Semaphore,
    concurrent_slots: Semaphore,
    uncounted: Count,
    closing: Closing,
}

impl Admission {
    /// Makes an admission with these limits, each cut to [`Semaphore::PERMITS_MAX`].
    pub fn new(async_limit: usize, concurrent_limit: usize) -> Self {
        let [async_limit, concurrent_limit] =
            [async_limit, concurrent_limit].map(|limit| limit.min(Semaphore::PERMITS_MAX));
        Self {
            async_limit,
            concurrent_limit,
            async_slots: Semaphore::new(async_limit),
            concurrent_slots: Semaphore::new(concurrent_limit),
            uncounted: Count::new(0),
            closing: Closing::default(),
        }
    }

    /// Takes the slot of a task that is to be started in this mode. [`Slot::Uncounted`] for [`SpawnMode::Async`] means that
    /// no unit of concurrency is free, and that the task runs inline.
    ///
    /// # Cancellation
    ///
    /// A cancellation point for [`SpawnMode::Waiting`] while it waits.
    ///
    /// # Errors
    ///
    /// The limit that is reached; [`ShutDown`]; [`Canceled`](crate::Canceled).
    #[inline]
    pub fn take(&self, io: &dyn Io, start: &Start, mode: SpawnMode) -> Result<Slot, SpawnErrorKind> {
        if mode == SpawnMode::Async {
            return match self.async_slots.try_acquire() {
                Some(permit) => {
                    permit.forget();
                    Ok(Slot::Async)
                }
                None if start.options().may_run_inline() => Ok(Slot::Uncounted),
                None => Err(limit_reached("async_limit", self.async_limit)),
            };
        }
        // Before the limits: no slot would become free.
        if self.is_closing() {
            return Err(SpawnErrorKind::ShutDown(ShutDown));
        }
        match mode {
            SpawnMode::Async | SpawnMode::Thread => Ok(Slot::Uncounted),
            // Nobody would ever free one.
            SpawnMode::Waiting if self.concurrent_limit > 0 => {
                self.concurrent_slots.acquire(io)?.forget();
                Ok(Slot::Concurrent)
            }
            SpawnMode::Concurrent | SpawnMode::Waiting => match self.concurrent_slots.try_acquire() {
                Some(permit) => {
                    permit.forget();
                    Ok(Slot::Concurrent)
                }
                None => Err(limit_reached("concurrent_limit", self.concurrent_limit)),
            },
        }
    }

    /// Admits a task for which a slot was taken. From now on the task is counted until its slot is
    /// [released](Self::release), which the caller does at once where this fails.
    ///
    /// # Errors
    ///
    /// [`ShutDown`] once the admission is closed.
    #[inline]
    pub fn admit(&self, slot: Slot) -> Result<(), ShutDown> {
        self.admit_at_the_end(slot);
        if self.is_closing() { Err(ShutDown) } else { Ok(()) }
    }

    /// Admits a task also after the admission was closed: one that ends what the runtime has.
    #[inline]
    pub fn admit_at_the_end(&self, slot: Slot) {
        if slot == Slot::Uncounted {
            self.uncounted.add();
        }
    }

    /// Counts an admitted task out. Returns true if the admission is closed and no task is left: then the caller wakes those
    /// who wait for that.
    #[inline]
    pub fn release(&self, slot: Slot) -> bool {
        match slot {
            Slot::Async => self.async_slots.add_permits(1),
            Slot::Concurrent => self.concurrent_slots.add_permits(1),
            Slot::Uncounted => _ = self.uncounted.remove(),
        }
        self.is_over()
    }

    /// Admits no task any more. Returns false if it was closed before.
    pub fn close(&self) -> bool {
        self.closing.begin()
    }

    /// Whether no task is admitted any more.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.closing.has_begun()
    }

    /// Whether no task is admitted any more and every one has ended. It stays so, except that tasks which are about to be
    /// refused count for a moment.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.is_closing()
            && self.uncounted.is_zero()
            && self.concurrent_slots.available() == self.concurrent_limit
            && self.async_slots.available() == self.async_limit
    }

    /// The refusal of a task for which the system has no thread, and against which limit the task was counted.
    #[cold]
    pub fn refused_by_system(&self, slot: Slot, error: std::io::Error) -> SpawnErrorKind {
        let (limit, value) = match slot {
            Slot::Async => ("async_limit", self.async_limit),
            Slot::Concurrent => ("concurrent_limit", self.concurrent_limit),
            Slot::Uncounted => ("threads", 1),
        };
        SpawnErrorKind::ConcurrencyUnavailable(ConcurrencyUnavailable::refused_by_system(limit, value, error))
    }
}

#[cold]
fn limit_reached(limit: &'static str, value: usize) -> SpawnErrorKind {
    SpawnErrorKind::ConcurrencyUnavailable(ConcurrencyUnavailable::limit_reached(limit, value))
}
