//! A blocking call of this module, either by itself or as a source of `select`.
#![allow(unsafe_code)]

use std::cell::{Cell, OnceCell};

use super::forms::Until;
use super::wait::{GaveUp, wait};
use crate::primitive::Lock;
use crate::sealed::Token;
use crate::select::{Selectable, sealed::Arm};
use crate::waiting::{AllServed, Choice, Place, WaitQueue, decide};
use crate::{Canceled, Io};

/// A call that waits in a queue if necessary.
pub(crate) trait Call {
    /// The state that the primitive keeps under its lock.
    type State;
    /// The value that waiters bring, and with which they are served.
    type Value;
    type Output;

    fn lock(&self) -> &Lock<Self::State>;

    fn queue(state: &mut Self::State) -> &mut WaitQueue<Self::Value>;

    /// Makes the call if it does not have to wait and `comer` has not been decided elsewhere, and decides `comer`.
    fn attempt(&self, state: &mut Self::State, comer: Option<&Choice>) -> Option<Done<Self::Value>>;

    /// Does the same as [`attempt`](Self::attempt), for a caller that has no choice and does not hold the lock.
    fn attempt_unlocked(&self) -> Option<Done<Self::Value>> {
        self.attempt(&mut self.lock().lock(), None)
    }

    /// Returns the value that the call brings when it waits.
    fn bring(&self) -> Option<Self::Value> {
        None
    }

    /// Takes the brought value back: the call was not served and does not wait any more.
    fn lose(&self, brought: Option<Self::Value>) {
        let _ = brought;
    }

    /// Returns the output of the call, which was made or served with `value`.
    fn output(self, value: Option<Self::Value>) -> Self::Output;
}

/// A call that was made without waiting.
pub(crate) struct Done<V> {
    /// The value with which it would have been served.
    pub(crate) value: Option<V>,
    /// The waiters that it served.
    pub(crate) served: AllServed,
}

impl<V> Done<V> {
    /// Returns a call that concerns no other waiter, made if `comer` has not been decided elsewhere.
    pub(crate) fn alone(value: Option<V>, comer: Option<&Choice>) -> Option<Self> {
        decide(comer, None).ok().map(|()| Self { value, served: AllServed::default() })
    }
}

/// Makes a call, and waits in its queue if necessary.
pub(super) fn call<C: Call>(io: &dyn Io, call: C, until: Until) -> Result<C::Output, Canceled> {
    until.check(io)?;
    let mut state = call.lock().lock();
    if let Some(done) = call.attempt(&mut state, None) {
        drop(state);
        done.served.wake();
        return Ok(call.output(done.value));
    }
    match wait(io, call.lock(), state, C::queue, call.bring(), until) {
        Ok(value) => Ok(call.output(value)),
        Err(GaveUp { brought, why }) => {
            call.lose(brought);
            Err(why)
        }
    }
}

/// A call in progress and its place in the queue.
pub(crate) struct Queued<C: Call> {
    call: C,
    place: OnceCell<Place<C::Value>>,
    /// The value with which the call was made or served; `None` before. An output is made from nothing else.
    made: Cell<Option<Option<C::Value>>>,
}

impl<C: Call> Queued<C> {
    pub(crate) fn new(call: C) -> Self {
        Self { call, place: OnceCell::new(), made: Cell::new(None) }
    }

    /// Stores the value with which the call was made. The waiters that it served have to be woken after the lock is
    /// released.
    fn keep(&self, done: Done<C::Value>) -> AllServed {
        self.made.set(Some(done.value));
        done.served
    }
}

impl<C: Call> Arm for Queued<C> {
    fn poll(&self, _: &dyn Io) -> bool {
        self.call.attempt_unlocked().map(|done| self.keep(done).wake()).is_some()
    }

    unsafe fn enter(&self, choice: &Choice) -> bool {
        let mut state = self.call.lock().lock();
        if let Some(done) = self.call.attempt(&mut state, Some(choice)) {
            drop(state);
            self.keep(done).wake();
            return true;
        }
        let place = self.place.get_or_init(|| Place::new(choice.unparker(), Some(choice), self.call.bring()));
        // SAFETY: an arm is entered once, so its place is linked for the first time. The caller keeps the arm, which the
        // place is a part of, and `choice` alive and where they are until `leave` has returned, which unlinks it.
        unsafe { place.enter(C::queue(&mut state)) };
        false
    }

    fn leave(&self) -> bool {
        let Some(place) = self.place.get() else { return false };
        let mut state = self.call.lock().lock();
        // SAFETY: only `enter` makes the place, and it links it into the queue that `C::queue` names in this lock's state.
        unsafe { place.leave(C::queue(&mut state)) };
        drop(state);
        let served = place.is_served();
        // SAFETY: it is not linked since `leave`. The context that served it did that before it was unlinked or under the lock that
        // was held for `leave`, so nobody serves it now.
        let value = unsafe { place.take_value() };
        if served {
            self.made.set(Some(value));
        } else {
            self.call.lose(value);
        }
        served
    }
}

impl<C: Call> Selectable for Queued<C> {
    type Output = C::Output;

    fn output(self, _: usize, _: &dyn Io, _: Token) -> C::Output {
        self.call.output(self.made.into_inner().expect("the call was made or served"))
    }
}
