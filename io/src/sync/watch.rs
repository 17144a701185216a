//! A value whose changes can be waited for.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::error::RecvError;
use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{Choice, WaitQueue};
use crate::{Canceled, Io};

/// Makes a channel that holds one value, the latest. Receivers wait for a change and get the current value: they miss
/// intermediate values, but never the last one.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let state = State {
        value: Arc::new(value),
        version: 0,
        senders: 1,
        receivers: 1,
        watching: WaitQueue::new(),
        closing: WaitQueue::new(),
    };
    let shared = Arc::new(Lock::new(state));
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

/// The end of a watch [`channel`] that changes the value.
pub struct Sender<T> {
    shared: Arc<Lock<State<T>>>,
}

/// The end of a watch [`channel`] that gets the value. A clone has seen the changes that its original has seen.
pub struct Receiver<T> {
    shared: Arc<Lock<State<T>>>,
    seen: u64,
}

struct State<T> {
    value: Arc<T>,
    /// The number of changes.
    version: u64,
    senders: usize,
    receivers: usize,
    watching: WaitQueue<()>,
    /// Senders that wait until there is no receiver.
    closing: WaitQueue<()>,
}

impl<T> Sender<T> {
    /// Changes the value, and returns the previous one. Never suspends; works from any thread.
    pub fn send(&self, value: T) -> Arc<T> {
        let mut state = self.shared.lock();
        let before = mem::replace(&mut state.value, Arc::new(value));
        state.version += 1;
        let all = state.watching.release_all();
        drop(state);
        all.wake();
        before
    }

    /// Returns the current value.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Makes a receiver that has seen the current value.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.lock();
        state.receivers += 1;
        Receiver { seen: state.version, shared: self.shared.clone() }
    }

    /// Waits until the last receiver is gone. A receiver that [subscribes](Self::subscribe) later opens the channel
    /// again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is no receiver.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn closed(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.closed_until(io, Until::Canceled)
    }

    /// Waits until the last receiver is gone. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn closed_uncancelable(&self, io: &dyn Io) {
        uncancelable(|until| self.closed_until(io, until));
    }

    /// Returns a source that is ready when the last receiver is gone. For [`select`](crate::Io#method.select).
    ///
    /// ```
    /// use iolite_io::{Canceled, Io, sync::{mpmc::Receiver, watch}, select::OneOf2};
    ///
    /// /// Publishes the sum of the incoming numbers for as long as there is a receiver.
    /// fn sum(io: &dyn Io, numbers: &Receiver<u64>, sum: &watch::Sender<u64>) -> Result<(), Canceled> {
    ///     while let OneOf2::Second(Ok(number)) = io.select((sum.on_closed(), numbers.on_recv()))? {
    ///         sum.send(*sum.get() + number);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn on_closed(&self) -> impl Selectable<Output = ()> + '_ {
        Queued::new(Closing(&self.shared))
    }

    /// Returns true if there is no receiver.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Returns the number of receivers.
    pub fn receiver_count(&self) -> usize {
        self.shared.lock().receivers
    }

    fn closed_until(&self, io: &dyn Io, until: Until) -> Result<(), Canceled> {
        call(io, Closing(&self.shared), until)
    }
}

impl<T> Receiver<T> {
    /// Returns the current value, which does not count as seen.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Returns true if there is a change that this receiver has not seen.
    pub fn has_changed(&self) -> bool {
        self.shared.lock().version != self.seen
    }

    /// Waits until the value differs from the one that was seen last, and returns it. It then counts as seen.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the value has changed. A canceled call has seen nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the call was canceled, or if the channel is closed: the last value was seen and all senders
    /// are gone.
    pub fn changed(&mut self, io: &dyn Io) -> Result<Arc<T>, RecvError> {
        self.changed_until(io, Until::Canceled)
    }

    /// Waits for a change like [`changed`](Self::changed). Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is closed.
    pub fn changed_uncancelable(&mut self, io: &dyn Io) -> Result<Arc<T>, RecvError> {
        self.changed_until(io, Until::Served)
    }

    /// Returns a source that waits for a change; its output is the value. For [`select`](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// The output is an error if the channel is closed.
    pub fn on_changed(&mut self) -> impl Selectable<Output = Result<Arc<T>, RecvError>> + '_ {
        Queued::new(Changing(self))
    }

    fn changed_until(&mut self, io: &dyn Io, until: Until) -> Result<Arc<T>, RecvError> {
        call(io, Changing(self), until)?
    }
}

impl<T> State<T> {
    /// Returns the value if it differs from the one that was seen, an error if the channel is closed, and `None` if the
    /// value can still change.
    fn see(&self, seen: &mut u64) -> Option<Result<Arc<T>, RecvError>> {
        if self.version != *seen {
            *seen = self.version;
            return Some(Ok(self.value.clone()));
        }
        (self.senders == 0).then_some(Err(RecvError::Closed))
    }
}

struct Closing<'a, T>(&'a Lock<State<T>>);

impl<T> Call for Closing<'_, T> {
    type State = State<T>;
    type Value = ();
    type Output = ();

    fn lock(&self) -> &Lock<State<T>> {
        self.0
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<()> {
        &mut state.closing
    }

    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<()>> {
        if state.receivers == 0 { Done::alone(None, comer) } else { None }
    }

    fn output(self, _: Option<()>) {}
}

struct Changing<'a, T>(&'a mut Receiver<T>);

impl<T> Call for Changing<'_, T> {
    type State = State<T>;
    type Value = ();
    type Output = Result<Arc<T>, RecvError>;

    fn lock(&self) -> &Lock<State<T>> {
        &self.0.shared
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<()> {
        &mut state.watching
    }

    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<()>> {
        if state.version == self.0.seen && state.senders > 0 { None } else { Done::alone(None, comer) }
    }

    fn output(self, _: Option<()>) -> Result<Arc<T>, RecvError> {
        let Receiver { shared, seen } = self.0;
        shared.lock().see(seen).expect("a change is not undone")
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.lock().receivers += 1;
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        if state.senders == 0 {
            let all = state.watching.release_all();
            drop(state);
            all.wake();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            let all = state.closing.release_all();
            drop(state);
            all.wake();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("value", &self.get()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("value", &self.get()).finish_non_exhaustive()
    }
}
