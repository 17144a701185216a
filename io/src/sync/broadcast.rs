//! A channel that delivers each item to every receiver.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::error::{SendError, SendErrorKind};
use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::cancel::{CarriesCanceled, TimedOut, WaitError};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{Choice, WaitQueue};
use crate::{Canceled, Io};

/// Makes a channel that keeps the last `capacity` items (at least one) for all its receivers.
///
/// Sending never waits: a receiver that is too slow is told how many items it has missed. An item is kept until every
/// receiver has taken it; the last receiver gets the item itself, the others get clones.
///
/// Each receiver gets, in order, each item that is sent after the receiver was made or [subscribed](Sender::subscribe),
/// or a count of those that it missed. The channel closes when all senders are gone; the kept items can still be
/// received.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        items: VecDeque::new(),
        capacity: capacity.max(1),
        end: 0,
        senders: 1,
        receivers: 1,
        receiving: WaitQueue::new(),
        closing: WaitQueue::new(),
    };
    let shared = Arc::new(Lock::new(state));
    (Sender { shared: shared.clone() }, Receiver { shared, next: 0 })
}

/// The sending end of a broadcast [`channel`].
pub struct Sender<T> {
    shared: Arc<Lock<State<T>>>,
}

/// A receiving end of a broadcast [`channel`]. A clone starts at the position of its original.
pub struct Receiver<T> {
    shared: Arc<Lock<State<T>>>,
    /// The number of the item that it receives next.
    next: u64,
}

struct State<T> {
    /// The items that some receiver has not taken yet. A receiver that has not taken an item has not taken those after
    /// it either, so items that nobody awaits any more are always at the front.
    items: VecDeque<Kept<T>>,
    capacity: usize,
    /// The number of items that were ever sent, which is the number of the next item.
    end: u64,
    senders: usize,
    receivers: usize,
    receiving: WaitQueue<()>,
    /// Senders that wait until there is no receiver.
    closing: WaitQueue<()>,
}

/// An item that some receivers have not taken.
struct Kept<T> {
    /// Shared, so that no `clone` of an item runs under the lock.
    item: Arc<T>,
    /// The number of receivers that have not taken it.
    awaited: usize,
}

impl<T> Sender<T> {
    /// Sends an item to every receiver. Never suspends; works from any thread.
    ///
    /// # Errors
    ///
    /// Returns the item if there is no receiver.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        let mut state = self.shared.lock();
        if state.receivers == 0 {
            return Err(SendError { item, kind: SendErrorKind::Closed });
        }
        let oldest = if state.items.len() == state.capacity { state.items.pop_front() } else { None };
        let awaited = state.receivers;
        state.items.push_back(Kept { item: Arc::new(item), awaited });
        state.end += 1;
        let all = state.receiving.release_all();
        drop(state);
        all.wake();
        // Outside of the lock, because the item may hold ends of this channel.
        drop(oldest);
        Ok(())
    }

    /// Makes a receiver of the items that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.lock();
        state.receivers += 1;
        Receiver { next: state.end, shared: self.shared.clone() }
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
    /// use std::time::Duration;
    /// use iolite_io::{Canceled, Io, sync::broadcast, select::OneOf2};
    ///
    /// /// Takes measurements for as long as there is a receiver.
    /// fn measure(io: &dyn Io, readings: &broadcast::Sender<u64>, read: impl Fn() -> u64) -> Result<(), Canceled> {
    ///     let mut ticks = io.interval(Duration::from_secs(1));
    ///     while let OneOf2::Second(_) = io.select((readings.on_closed(), ticks.on_tick()))? {
    ///         let _ = readings.send(read());
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

impl<T: Clone> Receiver<T> {
    /// Receives the next item; waits until there is one.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is an item. A canceled call misses none.
    ///
    /// # Errors
    ///
    /// [`RecvError`]. After `Lagged`, the next call returns the oldest item that is kept.
    pub fn recv(&mut self, io: &dyn Io) -> Result<T, RecvError> {
        self.recv_until(io, Until::Canceled)
    }

    /// Receives the next item; waits until there is one. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::Lagged`].
    pub fn recv_uncancelable(&mut self, io: &dyn Io) -> Result<T, RecvError> {
        self.recv_until(io, Until::Served)
    }

    /// Returns a source that receives the next item. For [`select`](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// The output is an error if the channel is closed or the receiver has missed items.
    pub fn on_recv(&mut self) -> impl Selectable<Output = Result<T, RecvError>> + '_ {
        Queued::new(Receiving(self))
    }

    /// Receives the next item if there is one. Never suspends.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], [`RecvError::Closed`] or [`RecvError::Lagged`].
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        let mut state = self.shared.lock();
        let found = state.item(&mut self.next);
        drop(state);
        Ok(Arc::unwrap_or_clone(found?))
    }

    fn recv_until(&mut self, io: &dyn Io, until: Until) -> Result<T, RecvError> {
        call(io, Receiving(self), until)?
    }
}

impl<T> Receiver<T> {
    /// Returns the number of items that this receiver has not received, including those that it missed.
    pub fn len(&self) -> u64 {
        self.shared.lock().end - self.next
    }

    /// Returns true if there is no item for this receiver.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> State<T> {
    /// Returns the item with the number `next` and advances `next`. If that item is no longer kept, fails and sets
    /// `next` to the oldest one.
    fn item(&mut self, next: &mut u64) -> Result<Arc<T>, RecvError> {
        let oldest = self.end - self.items.len() as u64;
        if *next < oldest {
            let missed = oldest - *next;
            *next = oldest;
            return Err(RecvError::Lagged(missed));
        }
        match self.items.get_mut((*next - oldest) as usize) {
            Some(kept) => {
                *next += 1;
                kept.awaited -= 1;
                if kept.awaited > 0 {
                    return Ok(kept.item.clone());
                }
                // The last receiver to take this item has taken those before it, so it is the first.
                Ok(self.items.pop_front().expect("it was just found").item)
            }
            None if self.senders == 0 => Err(RecvError::Closed),
            None => Err(RecvError::Empty),
        }
    }

    /// Returns the items that a receiver at position `next` has not taken.
    fn awaited_from(&mut self, next: u64) -> impl Iterator<Item = &mut Kept<T>> {
        let oldest = self.end - self.items.len() as u64;
        self.items.iter_mut().skip(next.saturating_sub(oldest) as usize)
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

struct Receiving<'a, T>(&'a mut Receiver<T>);

impl<T: Clone> Call for Receiving<'_, T> {
    type State = State<T>;
    type Value = ();
    type Output = Result<T, RecvError>;

    fn lock(&self) -> &Lock<State<T>> {
        &self.0.shared
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<()> {
        &mut state.receiving
    }

    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<()>> {
        if state.end == self.0.next && state.senders > 0 { None } else { Done::alone(None, comer) }
    }

    /// The item that made the call ready is still there for this receiver.
    fn output(self, _: Option<()>) -> Result<T, RecvError> {
        self.0.try_recv()
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
        let mut state = self.shared.lock();
        state.receivers += 1;
        state.awaited_from(self.next).for_each(|kept| kept.awaited += 1);
        Self { shared: self.shared.clone(), next: self.next }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        if state.senders == 0 {
            let all = state.receiving.release_all();
            drop(state);
            all.wake();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receivers -= 1;
        state.awaited_from(self.next).for_each(|kept| kept.awaited -= 1);
        let kept = state.items.iter().position(|kept| kept.awaited > 0).unwrap_or(state.items.len());
        // Nobody will receive them. They are dropped outside of the lock, because they may hold ends of this channel.
        let items: Vec<_> = state.items.drain(..kept).collect();
        let closing = if state.receivers == 0 { Some(state.closing.release_all()) } else { None };
        drop(state);
        if let Some(closing) = closing {
            closing.wake();
        }
        drop(items);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receiver_count()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The reason why no item was received from a broadcast [`channel`].
#[derive(Debug)]
pub enum RecvError {
    /// The task was asked to stop.
    Canceled(Canceled),
    /// The channel is closed, and all kept items were received.
    Closed,
    /// The time of a [`timeout`](crate::Io#method.timeout) around the call is over.
    TimedOut,
    /// There is no item now (only [`Receiver::try_recv`]).
    Empty,
    /// The receiver was too slow and has missed this number of items.
    Lagged(u64),
}

impl From<Canceled> for RecvError {
    fn from(canceled: Canceled) -> Self {
        RecvError::Canceled(canceled)
    }
}

impl From<TimedOut> for RecvError {
    fn from(_: TimedOut) -> Self {
        RecvError::TimedOut
    }
}

impl From<WaitError> for RecvError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Canceled(canceled) => canceled.into(),
            WaitError::TimedOut(timed_out) => timed_out.into(),
        }
    }
}

impl CarriesCanceled for RecvError {
    type OrTimedOut = Self;

    fn canceled(&self) -> Option<&Canceled> {
        match self {
            RecvError::Canceled(canceled) => Some(canceled),
            _ => None,
        }
    }

    fn into_or_timed_out(self) -> Self {
        self
    }

    fn into_timed_out(self) -> Self {
        TimedOut.into()
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Canceled(canceled) => canceled.fmt(f),
            RecvError::Closed => f.write_str("the channel is closed and empty"),
            RecvError::TimedOut => TimedOut.fmt(f),
            RecvError::Empty => f.write_str("the channel is empty"),
            RecvError::Lagged(count) => write!(f, "too slow: {count} items were missed"),
        }
    }
}

impl Error for RecvError {}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Canceled(canceled) => canceled.into(),
            RecvError::Closed => io::Error::new(io::ErrorKind::BrokenPipe, error),
            RecvError::TimedOut => TimedOut.into(),
            RecvError::Empty => io::Error::new(io::ErrorKind::WouldBlock, error),
            RecvError::Lagged(_) => io::Error::other(error),
        }
    }
}
