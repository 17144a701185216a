//! The admission of tasks to a runtime, and the detection that none is left.
//!
//! A task takes a [`Slot`] before it is admitted: one of `async_limit`, one of `concurrent_limit`, or an uncounted one.
//! The runner of the task gives the slot back when the task has ended. An [`Admission`] counts all of them, so that a
//! runtime that ends sees when the last one is free; [`Closing`] says why it misses none.

use super::closing::{Closing, Count};
use crate::runnable::{ConcurrencyUnavailable, ShutDown};
use crate::runnable::{SpawnMode, Start};
use crate::sync::Semaphore;
use crate::{Io, SpawnErrorKind};

/// The limit against which a task counts, from its admission to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a slot is given back by `Admission::release`"]
pub enum Slot {
    /// Counts against `async_limit`.
    Async,
    /// Counts against `concurrent_limit`.
    Concurrent,
    /// Counts against no limit: the main task, tasks on threads of their own, and tasks that run inline.
    Uncounted,
}

/// The limits and the counted tasks of a runtime.
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
    /// Makes an admission with these limits, each capped at [`Semaphore::PERMITS_MAX`].
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

    /// Takes the slot for a task that is to be started in `mode`. For [`SpawnMode::Async`], [`Slot::Uncounted`] means
    /// that no unit of concurrency is free and the task runs inline.
    ///
    /// # Cancellation
    ///
    /// A cancellation point for [`SpawnMode::Waiting`] while it waits.
    ///
    /// # Errors
    ///
    /// The limit that was reached; [`ShutDown`]; [`Canceled`](crate::Canceled).
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
        // Before the limits, because no slot would become free.
        if self.is_closing() {
            return Err(SpawnErrorKind::ShutDown(ShutDown));
        }
        match mode {
            SpawnMode::Async | SpawnMode::Thread => Ok(Slot::Uncounted),
            // No slot would ever become free.
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

    /// Admits a task for which a slot was taken. From then on the task is counted until its slot is
    /// [released](Self::release). If this fails, the caller releases the slot at once.
    ///
    /// # Errors
    ///
    /// [`ShutDown`] once the admission is closed.
    #[inline]
    pub fn admit(&self, slot: Slot) -> Result<(), ShutDown> {
        self.admit_at_the_end(slot);
        if self.is_closing() { Err(ShutDown) } else { Ok(()) }
    }

    /// Admits a task even after the admission was closed: a task that ends what the runtime has.
    #[inline]
    pub fn admit_at_the_end(&self, slot: Slot) {
        if slot == Slot::Uncounted {
            self.uncounted.add();
        }
    }

    /// Removes an admitted task from the count. Returns true if the admission is closed and no task is left; the caller
    /// then wakes the contexts that wait for that.
    #[inline]
    pub fn release(&self, slot: Slot) -> bool {
        match slot {
            Slot::Async => self.async_slots.add_permits(1),
            Slot::Concurrent => self.concurrent_slots.add_permits(1),
            Slot::Uncounted => _ = self.uncounted.remove(),
        }
        self.is_over()
    }

    /// Stops admitting tasks. Returns false if the admission was closed before.
    pub fn close(&self) -> bool {
        self.closing.begin()
    }

    /// Returns true if no task is admitted any more.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.closing.has_begun()
    }

    /// Returns true if no task is admitted any more and every task has ended. It stays true, except that a task that is
    /// about to be refused counts for a moment.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.is_closing()
            && self.uncounted.is_zero()
            && self.concurrent_slots.available() == self.concurrent_limit
            && self.async_slots.available() == self.async_limit
    }

    /// Makes the refusal of a task for which the system has no thread, naming the limit against which the task was
    /// counted.
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
