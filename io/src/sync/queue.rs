//! A queue from which and into which many items go at once.

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

/// A queue of a bounded number of items. A call puts or gets many, and says how many at least; the items of
/// one call stay together and in order.
///
/// It is lent, not cloned: `&Queue` is both ends. With capacity 0 it is a rendezvous: items go from a
/// [`put`](Self::put) to a [`get`](Self::get) that wait for each other.
///
/// **Partial progress wins**: a call that was canceled, timed out or closed after it had put or got some items
/// says how many, and a request stays pending.
pub struct Queue<T> {
    state: Lock<State<T>>,
}

/// Where a putter waits, `items` is full. Where a getter waits, there is no item. Both wait only where they are the
/// same, in one wait for many things, which wait for one item.
struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    closed: bool,
    putters: WaitQueue<Put<T>>,
    getters: WaitQueue<Get<T>>,
}

/// A put on its way.
struct Put<T> {
    /// What is still to be put.
    items: VecDeque<T>,
    /// How many were put.
    count: usize,
    min: usize,
}

/// A get on its way.
struct Get<T> {
    items: Vec<T>,
    /// How long `items` is to become, at least.
    len_min: usize,
    /// And at most.
    len_max: usize,
}

impl<T> Queue<T> {
    /// Makes a queue that holds up to `capacity` items.
    pub const fn new(capacity: usize) -> Self {
        let (putters, getters) = (WaitQueue::new(), WaitQueue::new());
        Self { state: Lock::new(State { items: VecDeque::new(), capacity, closed: false, putters, getters }) }
    }

    /// Puts items from the front of `items`, waiting until at least `min` are put (or all, when there are
    /// fewer), and says how many were; the others stay in `items`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is room. A call that has put some items returns how many, and the
    /// request stays pending.
    ///
    /// # Errors
    ///
    /// Canceled; or closed, even with room. Then none was put.
    pub fn put(&self, io: &dyn Io, items: &mut VecDeque<T>, min: usize) -> Result<usize, SendErrorKind> {
        self.put_until(io, items, min, Until::Canceled)
    }

    /// As [`put`](Self::put), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Closed.
    pub fn put_uncancelable(&self, io: &dyn Io, items: &mut VecDeque<T>, min: usize) -> Result<usize, SendErrorKind> {
        self.put_until(io, items, min, Until::Served)
    }

    /// Putting what is in `item`, as one of many things to [wait for](crate::Io#method.select). It is taken out when
    /// it is put, and stays there otherwise. Without one, there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// Of what it comes to: closed.
    pub fn on_put<'a>(&'a self, item: &'a mut Option<T>) -> impl Selectable<Output = Result<(), SendErrorKind>> + 'a {
        item.is_some().then(|| Queued::new(Putting { queue: self, item: RefCell::new(item) }))
    }

    /// Puts as many items as there is room for. Never suspends.
    ///
    /// # Errors
    ///
    /// Closed.
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

    /// Gets up to `max` items and appends them to `items`, waiting until there are at least `min`, and says how
    /// many were got.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there are items. A call that has got some items returns how many, and
    /// the request stays pending.
    ///
    /// # Errors
    ///
    /// Canceled; or closed, once no item is left. Then none was got.
    pub fn get(&self, io: &dyn Io, items: &mut Vec<T>, min: usize, max: usize) -> Result<usize, RecvError> {
        self.get_until(io, items, min, max, Until::Canceled)
    }

    /// As [`get`](Self::get), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Closed, once no item is left.
    pub fn get_uncancelable(
        &self,
        io: &dyn Io,
        items: &mut Vec<T>,
        min: usize,
        max: usize,
    ) -> Result<usize, RecvError> {
        self.get_until(io, items, min, max, Until::Served)
    }

    /// Getting one item, as one of many things to [wait for](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// Of what it comes to: closed, once no item is left.
    pub fn on_get(&self) -> impl Selectable<Output = Result<T, RecvError>> + '_ {
        Queued::new(Getting(self))
    }

    /// Gets as many items as there are, up to `max`, and appends them to `items`. Never suspends.
    ///
    /// # Errors
    ///
    /// Closed, once no item is left.
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

    /// Closes the queue: nothing more is put, what is in it is still got. Who waits goes, with what it has got.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let (putters, getters) = (state.putters.release_all(), state.getters.release_all());
        drop(state);
        putters.wake();
        getters.wake();
    }

    /// Whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// How many items are in the queue.
    pub fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Whether no item is in the queue.
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
            // Under the lock, which those who are woken do not take.
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
            // As in `put_until`.
            served.wake();
            (get, end) = split(wait(io, &self.state, state, |state| &mut state.getters, Some(get), until));
        }
        *items = get.items;
        let count = items.len() - before;
        if get.len_min == before && !closed { Ok(count) } else { outcome(io, count, end, RecvError::Closed) }
    }
}

/// What was brought, and how the wait ended.
fn split<V>(waited: Result<Option<V>, GaveUp<V>>) -> (V, Result<(), Canceled>) {
    let (brought, end) = match waited {
        Ok(brought) => (brought, Ok(())),
        Err(GaveUp { brought, why }) => (brought, Err(why)),
    };
    (brought.expect("nobody takes what a putter or a getter brings"), end)
}

/// What a call that wanted some items, and has put or got `count`, says; partial progress wins.
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
    /// Moves items on, as far as that goes, unless the choice of who comes was decided elsewhere. Who waits comes
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

    /// Takes what there is, and lets the items of putters move up, unless the choice of who comes was decided
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

    /// The item, if it was not put.
    fn into_one(mut self) -> Option<T> {
        self.items.pop_front()
    }

    fn is_done(&self) -> bool {
        self.count >= self.min
    }

    /// Up to `count` items, which then are put.
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

    /// Takes what it can; whether it has enough.
    fn takes_from(&mut self, put: &mut Put<T>) -> bool {
        let room = self.room();
        self.items.extend(put.next(room));
        self.is_done()
    }
}

struct Putting<'a, T> {
    queue: &'a Queue<T>,
    /// There, except while it is on its way.
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

    /// Whoever got it took the item; closing leaves it.
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
