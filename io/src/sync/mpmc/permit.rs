//! A slot that is kept for one item.

use std::fmt;
use std::mem;

use super::shared::Shared;
use crate::sync::error::{SendError, SendErrorKind};
use crate::waiting::AllServed;

/// A free slot of a channel that is kept for one item; [`Sender::reserve`](super::Sender::reserve) returns it. Dropping it
/// gives the slot back.
#[must_use]
pub struct SendPermit<'a, T> {
    shared: &'a Shared<T>,
}

impl<'a, T> SendPermit<'a, T> {
    /// Makes a permit for a slot that is already counted as reserved.
    pub(super) fn new(shared: &'a Shared<T>) -> Self {
        Self { shared }
    }
}

impl<T> SendPermit<'_, T> {
    /// Sends an item into the slot. Never suspends.
    ///
    /// # Errors
    ///
    /// The item, if the channel has been closed.
    pub fn send(self, item: T) -> Result<(), SendError<T>> {
        let mut state = self.shared.state().lock();
        // Dropping `self`, after the lock was released, gives the slot back.
        if state.closed {
            drop(state);
            return Err(SendError { item, kind: SendErrorKind::Closed });
        }
        let mut served = AllServed::default();
        state.reserved -= 1;
        state.put_into_slot(item, &mut served);
        state.serve_senders(&mut served);
        drop(state);
        mem::forget(self);
        served.wake();
        Ok(())
    }
}

impl<T> Drop for SendPermit<'_, T> {
    fn drop(&mut self) {
        let mut served = AllServed::default();
        let mut state = self.shared.state().lock();
        state.reserved -= 1;
        state.serve_senders(&mut served);
        drop(state);
        served.wake();
    }
}

impl<T> fmt::Debug for SendPermit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendPermit").finish_non_exhaustive()
    }
}
