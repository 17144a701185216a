//! A value whose changes are watched.

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

/// Makes a channel that holds one value, the latest. Receivers wait for a change and see the value as it is
/// then: changes in between are not seen, the last one always is.
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

/// The end of a watch [`channel`] that sees the value. A clone has seen what this one has.
pub struct Receiver<T> {
    shared: Arc<Lock<State<T>>>,
    seen: u64,
}

struct State<T> {
    value: Arc<T>,
    /// How often it was changed.
    version: u64,
    senders: usize,
    receivers: usize,
    watching: WaitQueue<()>,
    /// Senders that wait until there is no receiver.
    closing: WaitQueue<()>,
}

impl<T> Sender<T> {
    /// Changes the value, and returns the one before. Never suspends; from any thread.
    pub fn send(&self, value: T) -> Arc<T> {
        let mut state = self.shared.lock();
        let before = mem::replace(&mut state.value, Arc::new(value));
        state.version += 1;
        let all = state.watching.release_all();
        drop(state);
        all.wake();
        before
    }

    /// The value as it is now.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Makes a receiver that has seen the value as it is now.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.lock();
        state.receivers += 1;
        Receiver { seen: state.version, shared: self.shared.clone() }
    }

    /// Waits until nobody receives: the last receiver is gone. A receiver that is
    /// [subscribed](Self::subscribe) later opens it again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if nobody receives.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn closed(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.closed_until(io, Until::Canceled)
    }

    /// As [`closed`](Self::closed), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn closed_uncancelable(&self, io: &dyn Io) {
        uncancelable(|until| self.closed_until(io, until));
    }

    /// What [`closed`](Self::closed) waits for, as one of many things to [wait for](crate::Io#method.select).
    ///
    /// ```
    /// use iolite_io::{Canceled, Io, sync::{mpmc::Receiver, watch}, select::OneOf2};
    ///
    /// /// Shows the sum of what comes in, for as long as somebody looks.
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

    /// Whether nobody receives.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.lock().receivers
    }

    fn closed_until(&self, io: &dyn Io, until: Until) -> Result<(), Canceled> {
        call(io, Closing(&self.shared), until)
    }
}

impl<T> Receiver<T> {
    /// The value as it is now. It does not count as seen.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Whether there is a change that was not seen.
    pub fn has_changed(&self) -> bool {
        self.shared.lock().version != self.seen
    }

    /// Waits until the value is another one than was seen last, and sees it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the value has changed. A canceled call has seen nothing.
    ///
    /// # Errors
    ///
    /// Canceled; or closed, once the last value was seen and all senders are gone.
    pub fn changed(&mut self, io: &dyn Io) -> Result<Arc<T>, RecvError> {
        self.changed_until(io, Until::Canceled)
    }

    /// As [`changed`](Self::changed), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Closed.
    pub fn changed_uncancelable(&mut self, io: &dyn Io) -> Result<Arc<T>, RecvError> {
        self.changed_until(io, Until::Served)
    }

    /// A change, as one of many things to [wait for](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// Of what it comes to: closed.
    pub fn on_changed(&mut self) -> impl Selectable<Output = Result<Arc<T>, RecvError>> + '_ {
        Queued::new(Changing(self))
    }

    fn changed_until(&mut self, io: &dyn Io, until: Until) -> Result<Arc<T>, RecvError> {
        call(io, Changing(self), until)?
    }
}

impl<T> State<T> {
    /// The value, if it is another one than was seen; `None` when it still can become one.
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
        shared.lock().see(seen).expect("what has changed has changed for good")
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
