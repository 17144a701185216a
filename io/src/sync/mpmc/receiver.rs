//! The receiving end, and the call that waits for an item.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::shared::Shared;
use super::state::State;
use crate::Io;
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::sync::error::{RecvError, TryRecvError};
use crate::sync::forms::Until;
use crate::sync::queued::{Call, Done, Queued, call};
use crate::waiting::{Choice, Served, WaitQueue};

/// The receiving end of a [`channel`](super::channel()).
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// Receives the next item, and waits while there is none.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also if there is an item. An item that was handed over is returned
    /// nevertheless.
    ///
    /// # Errors
    ///
    /// Canceled, or closed with no item left.
    pub fn recv(&self, io: &dyn Io) -> Result<T, RecvError> {
        self.recv_until(io, Until::Canceled)
    }

    /// Receives the next item, and waits while there is none; no request ends the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Closed, with no item left.
    pub fn recv_uncancelable(&self, io: &dyn Io) -> Result<T, RecvError> {
        self.recv_until(io, Until::Served)
    }

    /// Returns the call [`recv`](Self::recv), to [select](crate::Io#method.select) from.
    ///
    /// # Errors
    ///
    /// The selected result is an error if the channel is closed and no item is left.
    pub fn on_recv(&self) -> impl Selectable<Output = Result<T, RecvError>> + '_ {
        Queued::new(Receiving(&self.shared))
    }

    /// Receives the next item if there is one. Never suspends.
    ///
    /// # Errors
    ///
    /// Empty, or closed with no item left.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.shared.state().lock();
        match state.get(None) {
            Some((item, served)) => {
                drop(state);
                served.into_iter().for_each(Served::wake);
                Ok(item)
            }
            None if state.closed => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Closes the channel for all senders and receivers; see [`Sender::close`](super::Sender::close).
    pub fn close(&self) {
        self.shared.close();
    }

    /// Returns the number of items in the channel.
    pub fn len(&self) -> usize {
        self.shared.state().lock().items.len()
    }

    /// Returns true if no item is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn recv_until(&self, io: &dyn Io, until: Until) -> Result<T, RecvError> {
        call(io, Receiving(&self.shared), until)?
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.state().lock().receivers += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state().lock();
        state.receivers -= 1;
        if state.receivers > 0 {
            return;
        }
        drop(state);
        self.shared.close();
        // Nobody will receive these items. They are dropped outside of the lock, since they may hold senders.
        let items = mem::take(&mut self.shared.state().lock().items);
        drop(items);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The call that takes an item.
struct Receiving<'a, T>(&'a Shared<T>);

impl<T> Call for Receiving<'_, T> {
    type State = State<T>;
    type Value = T;
    type Output = Result<T, RecvError>;

    fn lock(&self) -> &Lock<State<T>> {
        self.0.state()
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<T> {
        &mut state.receiving
    }

    #[inline]
    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<T>> {
        match state.get(comer) {
            Some((item, served)) => Some(Done { value: Some(item), served: served.into() }),
            None if state.closed => Done::alone(None, comer),
            None => None,
        }
    }

    fn output(self, value: Option<T>) -> Result<T, RecvError> {
        value.ok_or(RecvError::Closed)
    }
}
