//! An event: set once, or reset and set again.

use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{Choice, WaitQueue};
use crate::{Canceled, Io};

/// A flag that contexts wait for. Writes before [`set`](Self::set) are visible after [`wait`](Self::wait).
#[derive(Debug, Default)]
pub struct Event {
    state: Lock<State>,
}

#[derive(Debug, Default)]
struct State {
    set: bool,
    waiters: WaitQueue<()>,
}

impl Event {
    /// Makes an event that is not set.
    pub const fn new() -> Self {
        Self { state: Lock::new(State { set: false, waiters: WaitQueue::new() }) }
    }

    /// Sets the event and releases all waiters. Never suspends; works from any thread.
    pub fn set(&self) {
        let mut state = self.state.lock();
        state.set = true;
        let let_go = state.waiters.release_all();
        drop(state);
        let_go.wake();
    }

    /// Resets the event. Waiters that were released stay released.
    pub fn reset(&self) {
        self.state.lock().set = false;
    }

    /// Returns true if the event is set.
    pub fn is_set(&self) -> bool {
        self.state.lock().set
    }

    /// Waits until the event is set.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the event is set.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.wait_until(io, Until::Canceled)
    }

    /// Returns a source that is ready when the event is set. For [`select`](crate::Io#method.select).
    pub fn on_wait(&self) -> impl Selectable<Output = ()> + '_ {
        Queued::new(Waiting(self))
    }

    /// Waits until the event is set. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(&self, io: &dyn Io) {
        uncancelable(|until| self.wait_until(io, until));
    }

    fn wait_until(&self, io: &dyn Io, until: Until) -> Result<(), Canceled> {
        call(io, Waiting(self), until)
    }
}

struct Waiting<'a>(&'a Event);

impl Call for Waiting<'_> {
    type State = State;
    type Value = ();
    type Output = ();

    fn lock(&self) -> &Lock<State> {
        &self.0.state
    }

    fn queue(state: &mut State) -> &mut WaitQueue<()> {
        &mut state.waiters
    }

    fn attempt(&self, state: &mut State, comer: Option<&Choice>) -> Option<Done<()>> {
        if state.set { Done::alone(None, comer) } else { None }
    }

    fn output(self, _: Option<()>) {}
}
