//! An event: set once, or reset and set again.

use super::queue::{Queue, Served, Until, Waited, wait};
use crate::cancel::{TimedOut, WaitError};
use crate::primitive::Lock;
use crate::time::Instant;
use crate::{Canceled, Io};

/// Something that happens. What was written before [`set`](Self::set) is visible after
/// [`wait`](Self::wait).
#[derive(Debug, Default)]
pub struct Event {
    state: Lock<State>,
}

#[derive(Debug, Default)]
struct State {
    set: bool,
    /// How often it was set.
    sets: u64,
    /// Each with the number of sets before it came.
    waiters: Queue<u64>,
}

impl Event {
    /// Makes an event that is not set.
    pub const fn new() -> Self {
        Self { state: Lock::new(State { set: false, sets: 0, waiters: Queue::new() }) }
    }

    /// Sets it and lets all waiters go. Never suspends; from any thread. The event may be dropped
    /// by a waiter as soon as it was let go.
    pub fn set(&self) {
        let mut served: [Option<Served>; 16] = [const { None }; 16];
        let mut state = self.state.lock();
        state.set = true;
        state.sets += 1;
        let sets = state.sets;
        loop {
            // In lots, so that waking happens outside of the lock and allocates nothing. Between two
            // lots it may be reset, and waited for again: that is none of this set's business. After
            // the lot that lets the last one go, the event is not touched again.
            let before_this_set = |state: &State| state.waiters.front().is_some_and(|before| *before < sets);
            for slot in &mut served {
                if before_this_set(&state) {
                    *slot = state.waiters.release();
                }
            }
            let more = before_this_set(&state);
            drop(state);
            served.iter_mut().filter_map(Option::take).for_each(Served::wake);
            if !more {
                return;
            }
            state = self.state.lock();
        }
    }

    /// Makes it not set. Waiters that were let go stay so.
    pub fn reset(&self) {
        self.state.lock().set = false;
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.state.lock().set
    }

    /// Waits until it is set.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when it is set.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        io.check_cancel()?;
        match self.wait_until(io, Until::Canceled) {
            Waited::Canceled(_, canceled) => Err(canceled),
            _ => Ok(()),
        }
    }

    /// Waits until it is set, whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(&self, io: &dyn Io) {
        self.wait_until(io, Until::Served);
    }

    /// Waits until it is set or `deadline` passes.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub fn wait_deadline(&self, io: &dyn Io, deadline: Instant) -> Result<(), WaitError> {
        io.check_cancel()?;
        match self.wait_until(io, Until::Deadline(deadline)) {
            Waited::Served(_) => Ok(()),
            Waited::Canceled(_, canceled) => Err(canceled.into()),
            Waited::TimedOut(_) => Err(TimedOut.into()),
        }
    }

    fn wait_until(&self, io: &dyn Io, until: Until) -> Waited<u64> {
        let state = self.state.lock();
        if state.set {
            return Waited::Served(None);
        }
        let brought = Some(state.sets);
        wait(io, &self.state, state, |state| &mut state.waiters, brought, until)
    }
}
