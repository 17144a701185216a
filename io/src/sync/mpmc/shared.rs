//! The state of a channel behind its lock, which all ends share.

use super::state::State;
use crate::primitive::Lock;

/// A channel, as its senders, its receivers and their permits share it.
pub(super) struct Shared<T>(Lock<State<T>>);

impl<T> Shared<T> {
    /// Makes a channel with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> Self {
        Self(Lock::new(State::new(capacity)))
    }

    #[inline]
    pub(super) fn state(&self) -> &Lock<State<T>> {
        &self.0
    }

    /// Closes the channel and wakes everybody who waits for it.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let (sending, receiving) = (state.sending.release_all(), state.receiving.release_all());
        let closing = state.closing.release_all();
        drop(state);
        sending.wake();
        receiving.wake();
        closing.wake();
    }
}
