//! A queue into which and from which many items go at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::{fmt, mem};

use super::error::{RecvError, SendErrorKind};
use super::forms::Until;
use super::queued::{Call, Done, Queued};
use super::wait::{GaveUp, wait};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{AllServed, Choice, Met, WaitQueue, decide};
use crate::{Canceled, Io};

/// A queue of a bounded number of items. A call puts or gets many items and says how many at least. The items of one
/// call stay together and in order.
///
/// The queue is borrowed, not cloned: `&Queue` is both ends. With capacity 0 it is a rendezvous: items go from a
/// [`put`](Self::put) to a [`get`](Self::get) while both wait.
///
/// **Partial progress wins**: if a call is canceled, timed out or closed after it has put or got some items, it returns
/// their number, and a request stays pending.
pub struct Queue<T> {
    state: Lock<State<T>>,
}

/// While a putter waits, `items` is full. While a getter waits, `items` is empty. Both can wait at once only if they
/// belong to the same `select`, whose parts wait for one item each.
struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    closed: bool,
    putters: WaitQueue<Put<T>>,
    getters: WaitQueue<Get<T>>,
}

/// A put in progress.
struct Put<T> {
    /// The items that are still to be put.
    items: VecDeque<T>,
    /// The number of items that were put.
    count: usize,
    min: usize,
}

/// A get in progress.
struct Get<T> {
    items: Vec<T>,
    /// The minimum length that `items` has to reach.
    len_min: usize,
    /// The maximum length of `items`.
    len_max: usize,
}

impl<T> Queue<T> {
    /// Makes a queue that holds up to `capacity` items.
    pub const fn new(capacity: usize) -> Self {
        let (putters, getters) = (WaitQueue::new(), WaitQueue::new());
        Self { state: Lock::new(State { items: VecDeque::new(), capacity, closed: false, putters, getters }) }
    }

    /// Puts items from the front of `items`, and waits until at least `min` of them are put, or all if there are fewer.
    /// Returns the number of items that were put; the others stay in `items`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is room. A call that has put some items returns their number, and the
    /// request stays pending.
    ///
    /// # Errors
    ///
    /// Returns an error if no item was put because the call was canceled, or because the queue is closed, even if it
    /// has room.
    pub fn put(&self, io: &dyn Io, items: &mut VecDeque<T>, min: usize) -> Result<usize, SendErrorKind> {
        self.put_until(io, items, min, Until::Canceled)
    }

    /// Puts items like [`put`](Self::put). Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Returns an error if no item was put because the queue is closed.
    pub fn put_uncancelable(&self, io: &dyn Io, items: &mut VecDeque<T>, min: usize) -> Result<usize, SendErrorKind> {
        self.put_until(io, items, min, Until::Served)
    }

    /// Returns a source that puts the item in `item`. For [`select`](crate::Io#method.select). The item is removed from
    /// `item` when it is put, and stays there otherwise. If `item` is `None`, the source is never ready.
    ///
    /// # Errors
    ///
    /// The output is an error if the queue is closed.
    pub fn on_put<'a>(&'a self, item: &'a mut Option<T>) -> impl Selectable<Output = Result<(), SendErrorKind>> + 'a {
        item.is_some().then(|| Queued::new(Putting { queue: self, item: RefCell::new(item) }))
    }

    /// Puts as many items as there is room for. Never suspends.
    ///
    /// # Errors
    ///
    /// Returns an error if the queue is closed.
    pub fn try_put(&self, items: &mut VecDeque<T>) -> Result<usize, SendErrorKind> {
        let mut put = Put::new(items, 0);
        let mut state = self.state.lock();
        let served = state.put(&mut put, None);
        let closed = state.closed;
        drop(state);
        served.wake();
        *items = put.items;
        if closed { Err(SendErrorKind::Closed) } else { Ok(put.count) }
    }

    /// Gets up to `max` items, appends them to `items`, and waits until there are at least `min`. Returns the number of
    /// items that it got.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there are items. A call that has got some items returns their number, and the
    /// request stays pending.
    ///
    /// # Errors
    ///
    /// Returns an error if it got no item because it was canceled, or because the queue is closed and empty.
    pub fn get(&self, io: &dyn Io, items: &mut Vec<T>, min: usize, max: usize) -> Result<usize, RecvError> {
        self.get_until(io, items, min, max, Until::Canceled)
    }

    /// Gets items like [`get`](Self::get). Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Returns an error if the queue is closed and empty.
    pub fn get_uncancelable(
        &self,
        io: &dyn Io,
        items: &mut Vec<T>,
        min: usize,
        max: usize,
    ) -> Result<usize, RecvError> {
        self.get_until(io, items, min, max, Until::Served)
    }

    /// Returns a source that gets one item. For [`select`](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// The output is an error if the queue is closed and empty.
    pub fn on_get(&self) -> impl Selectable<Output = Result<T, RecvError>> + '_ {
        Queued::new(Getting(self))
    }

    /// Gets as many items as there are, up to `max`, and appends them to `items`. Never suspends.
    ///
    /// # Errors
    ///
    /// Returns an error if the queue is closed and empty.
    pub fn try_get(&self, items: &mut Vec<T>, max: usize) -> Result<usize, RecvError> {
        let before = items.len();
        let mut get = Get::new(items, 0, max);
        let mut state = self.state.lock();
        let served = state.get(&mut get, None);
        let closed = state.closed;
        drop(state);
        served.wake();
        *items = get.items;
        match items.len() - before {
            0 if closed => Err(RecvError::Closed),
            count => Ok(count),
        }
    }

    /// Closes the queue: no further items are put, but those in it can still be got. Waiters return with the progress
    /// that they have made.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let (putters, getters) = (state.putters.release_all(), state.getters.release_all());
        drop(state);
        putters.wake();
        getters.wake();
    }

    /// Returns true if the queue is closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Returns the number of items in the queue.
    pub fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Returns true if there is no item in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put_until(
        &self,
        io: &dyn Io,
        items: &mut VecDeque<T>,
        min: usize,
        until: Until,
    ) -> Result<usize, SendErrorKind> {
        until.check(io)?;
        let mut put = Put::new(items, min);
        let mut end = Ok(());
        let mut state = self.state.lock();
        let served = state.put(&mut put, None);
        let closed = state.closed;
        if put.is_done() || closed {
            drop(state);
            served.wake();
        } else {
            // Under the lock, which the woken contexts do not take.
            served.wake();
            (put, end) = split(wait(io, &self.state, state, |state| &mut state.putters, Some(put), until));
        }
        *items = put.items;
        if put.min == 0 && !closed { Ok(put.count) } else { outcome(io, put.count, end, SendErrorKind::Closed) }
    }

    fn get_until(
        &self,
        io: &dyn Io,
        items: &mut Vec<T>,
        min: usize,
        max: usize,
        until: Until,
    ) -> Result<usize, RecvError> {
        until.check(io)?;
        let before = items.len();
        let mut get = Get::new(items, min, max);
        let mut end = Ok(());
        let mut state = self.state.lock();
        let served = state.get(&mut get, None);
        let closed = state.closed;
        if get.is_done() || closed {
            drop(state);
            served.wake();
        } else {
            // Under the lock, for the same reason as in `put_until`.
            served.wake();
            (get, end) = split(wait(io, &self.state, state, |state| &mut state.getters, Some(get), until));
        }
        *items = get.items;
        let count = items.len() - before;
        if get.len_min == before && !closed { Ok(count) } else { outcome(io, count, end, RecvError::Closed) }
    }
}

/// Returns the value that the waiter brought, and how the wait ended.
fn split<V>(waited: Result<Option<V>, GaveUp<V>>) -> (V, Result<(), Canceled>) {
    let (brought, end) = match waited {
        Ok(brought) => (brought, Ok(())),
        Err(GaveUp { brought, why }) => (brought, Err(why)),
    };
    (brought.expect("a putter or a getter keeps what it brings"), end)
}

/// Returns the result of a call that wanted some items and has put or got `count`. Partial progress wins.
fn outcome<E: From<Canceled>>(io: &dyn Io, count: usize, end: Result<(), Canceled>, closed: E) -> Result<usize, E> {
    match end {
        Ok(()) if count == 0 => Err(closed),
        Err(canceled) if count == 0 => Err(canceled.into()),
        Err(canceled) => {
            io.recancel(canceled);
            Ok(count)
        }
        Ok(()) => Ok(count),
    }
}

impl<T> State<T> {
    /// Moves items on as far as possible, unless the choice of `comer` was decided elsewhere. Earlier waiters come
    /// first.
    fn put(&mut self, put: &mut Put<T>, mut comer: Option<&Choice>) -> AllServed {
        let mut served = AllServed::default();
        if self.closed {
            return served;
        }
        while !put.items.is_empty() {
            match self.getters.meet(comer, |get| get.takes_from(put)) {
                Met::Nobody => break,
                Met::Waits => return served,
                Met::Served(getter) => served.extend(Some(getter)),
            }
            comer = None;
        }
        let room = self.capacity - self.items.len();
        if room > 0 && !put.items.is_empty() && decide(comer, None).is_ok() {
            self.items.extend(put.next(room));
        }
        served
    }

    /// Takes the available items, and lets the items of putters move up, unless the choice of `comer` was decided
    /// elsewhere.
    fn get(&mut self, get: &mut Get<T>, mut comer: Option<&Choice>) -> AllServed {
        let mut served = AllServed::default();
        let count = get.room().min(self.items.len());
        if count > 0 {
            if decide(comer, None).is_err() {
                return served;
            }
            comer = None;
            get.items.extend(self.items.drain(..count));
        }
        while get.room() > 0 || self.items.len() < self.capacity {
            let moves_up = |put: &mut Put<T>| {
                get.takes_from(put);
                let room = self.capacity - self.items.len();
                self.items.extend(put.next(room));
                put.is_done()
            };
            match self.putters.meet(comer, moves_up) {
                Met::Served(putter) => served.extend(Some(putter)),
                Met::Nobody | Met::Waits => break,
            }
            comer = None;
        }
        served
    }
}

impl<T> Put<T> {
    fn new(items: &mut VecDeque<T>, min: usize) -> Self {
        Self { min: min.min(items.len()), items: mem::take(items), count: 0 }
    }

    fn one(item: T) -> Self {
        Self { items: VecDeque::from([item]), count: 0, min: 1 }
    }

    /// Returns the item if it was not put.
    fn into_one(mut self) -> Option<T> {
        self.items.pop_front()
    }

    fn is_done(&self) -> bool {
        self.count >= self.min
    }

    /// Returns up to `count` items, which then count as put.
    fn next(&mut self, count: usize) -> impl Iterator<Item = T> + '_ {
        let count = count.min(self.items.len());
        self.count += count;
        self.items.drain(..count)
    }
}

impl<T> Get<T> {
    fn new(items: &mut Vec<T>, min: usize, max: usize) -> Self {
        let before = items.len();
        let items = mem::take(items);
        Self { items, len_min: before.saturating_add(min.min(max)), len_max: before.saturating_add(max) }
    }

    fn one() -> Self {
        Self { items: Vec::new(), len_min: 1, len_max: 1 }
    }

    fn is_done(&self) -> bool {
        self.items.len() >= self.len_min
    }

    fn room(&self) -> usize {
        self.len_max - self.items.len()
    }

    /// Takes as many items as it can. Returns true if it has enough.
    fn takes_from(&mut self, put: &mut Put<T>) -> bool {
        let room = self.room();
        self.items.extend(put.next(room));
        self.is_done()
    }
}

struct Putting<'a, T> {
    queue: &'a Queue<T>,
    /// `Some`, except while the item is in the queue's hands.
    item: RefCell<&'a mut Option<T>>,
}

impl<T> Call for Putting<'_, T> {
    type State = State<T>;
    type Value = Put<T>;
    type Output = Result<(), SendErrorKind>;

    fn lock(&self) -> &Lock<State<T>> {
        &self.queue.state
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<Put<T>> {
        &mut state.putters
    }

    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<Put<T>>> {
        if state.closed {
            return Done::alone(None, comer).map(|done| Done { value: self.bring(), ..done });
        }
        let mut put = self.bring()?;
        let served = state.put(&mut put, comer);
        if put.is_done() {
            return Some(Done { value: Some(put), served });
        }
        self.lose(Some(put));
        None
    }

    fn bring(&self) -> Option<Put<T>> {
        self.item.borrow_mut().take().map(Put::one)
    }

    fn lose(&self, put: Option<Put<T>>) {
        **self.item.borrow_mut() = put.and_then(Put::into_one);
    }

    /// The call that got the item has taken it; after closing it is still there.
    fn output(self, put: Option<Put<T>>) -> Result<(), SendErrorKind> {
        self.lose(put);
        match self.item.into_inner() {
            None => Ok(()),
            Some(_) => Err(SendErrorKind::Closed),
        }
    }
}

struct Getting<'a, T>(&'a Queue<T>);

impl<T> Call for Getting<'_, T> {
    type State = State<T>;
    type Value = Get<T>;
    type Output = Result<T, RecvError>;

    fn lock(&self) -> &Lock<State<T>> {
        &self.0.state
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<Get<T>> {
        &mut state.getters
    }

    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<Get<T>>> {
        let mut get = Get::one();
        let served = state.get(&mut get, comer);
        match get.is_done() {
            true => Some(Done { value: Some(get), served }),
            false if state.closed => Done::alone(None, comer),
            false => None,
        }
    }

    fn bring(&self) -> Option<Get<T>> {
        Some(Get::one())
    }

    fn output(self, get: Option<Get<T>>) -> Result<T, RecvError> {
        get.and_then(|mut get| get.items.pop()).ok_or(RecvError::Closed)
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).finish_non_exhaustive()
    }
}
