//! Notifications of which one is kept.

use super::choice::Choice;
use super::forms::{Until, cancelable, uncancelable};
use super::queued::{Call, Done, Queued, call};
use super::wait_queue::WaitQueue;
use crate::cancel::WaitError;
use crate::primitive::Lock;
use crate::time::Instant;
use crate::wait_any::Source;
use crate::{Canceled, Io};

/// Tells that there is something to do. A notification for which nobody waits is kept for the next to wait;
/// one at most.
#[derive(Debug, Default)]
pub struct Notify {
    state: Lock<State>,
}

/// Nobody waits while `kept`.
#[derive(Debug, Default)]
struct State {
    kept: bool,
    waiters: WaitQueue<()>,
}

impl Notify {
    /// Makes one for which nobody waits, without a notification.
    pub const fn new() -> Self {
        Self { state: Lock::new(State { kept: false, waiters: WaitQueue::new() }) }
    }

    /// Wakes the longest waiting; keeps the notification when nobody waits. Never suspends; from any thread.
    pub fn notify_one(&self) {
        let mut state = self.state.lock();
        let next = state.waiters.release();
        state.kept |= next.is_none();
        drop(state);
        next.into_iter().for_each(|next| next.wake());
    }

    /// Wakes all who wait, and keeps nothing. Never suspends; from any thread.
    pub fn notify_all(&self) {
        let all = self.state.lock().waiters.release_all();
        all.wake();
    }

    /// Takes the notification that was kept; `false` when there is none.
    pub fn try_wait(&self) -> bool {
        std::mem::take(&mut self.state.lock().kept)
    }

    /// Waits for a notification, or takes the one that was kept.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when one was kept. A notification is never lost: who got one returns
    /// success, who is canceled takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        cancelable(|until| self.wait_until(io, until))
    }

    /// A notification, as one of many things to [wait for](crate::Io#method.wait_any). Who waits has its place among
    /// all others who do; what is not taken goes to the next, or is kept.
    pub fn waiting(&self) -> impl Source<Output = ()> + '_ {
        Queued::new(Waiting(self))
    }

    /// As [`wait`](Self::wait), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(&self, io: &dyn Io) {
        uncancelable(|until| self.wait_until(io, until));
    }

    /// As [`wait`](Self::wait), until `deadline`.
    ///
    /// # Cancellation
    ///
    /// As `wait`.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub fn wait_deadline(&self, io: &dyn Io, deadline: Instant) -> Result<(), WaitError> {
        self.wait_until(io, Until::Deadline(deadline))
    }

    fn wait_until(&self, io: &dyn Io, until: Until) -> Result<(), WaitError> {
        call(io, Waiting(self), until)
    }
}

struct Waiting<'a>(&'a Notify);

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
        let done = if state.kept { Done::alone(None, comer) } else { None };
        state.kept &= done.is_none();
        done
    }

    fn output(self, _: Option<()>) {}
}
