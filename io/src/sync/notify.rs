//! Notifications, of which at most one is stored.

use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{Choice, WaitQueue};
use crate::{Canceled, Io};

/// Notifies a context that there is work to do. A notification without a waiter is stored for the next one; at most one
/// is stored.
#[derive(Debug, Default)]
pub struct Notify {
    state: Lock<State>,
}

/// There are no waiters while `kept` is true.
#[derive(Debug, Default)]
struct State {
    kept: bool,
    /// The number of calls of `notify_all`.
    all: u64,
    waiters: WaitQueue<()>,
}

impl Notify {
    /// Makes a `Notify` without waiters and without a notification.
    pub const fn new() -> Self {
        Self { state: Lock::new(State { kept: false, all: 0, waiters: WaitQueue::new() }) }
    }

    /// Wakes the waiter that has waited longest, or stores the notification if there is none. Never suspends; works
    /// from any thread.
    pub fn notify_one(&self) {
        let mut state = self.state.lock();
        let next = state.waiters.release();
        state.kept |= next.is_none();
        drop(state);
        next.into_iter().for_each(|next| next.wake());
    }

    /// Wakes all contexts that wait or are [registered](Self::register), and stores nothing. Never suspends; works from
    /// any thread.
    pub fn notify_all(&self) {
        let mut state = self.state.lock();
        state.all += 1;
        let all = state.waiters.release_all();
        drop(state);
        all.wake();
    }

    /// Registers the caller for the next [`notify_all`](Self::notify_all) before it waits. Never suspends.
    ///
    /// A program that checks a condition and then waits misses a `notify_all` between the two. A program that registers
    /// first, then checks, and then waits for the registration misses nothing:
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use iolite_io::{Canceled, Io, sync::Notify};
    ///
    /// fn until_idle(io: &dyn Io, running: &AtomicUsize, changed: &Notify) -> Result<(), Canceled> {
    ///     loop {
    ///         let registration = changed.register();
    ///         if running.load(Ordering::SeqCst) == 0 {
    ///             return Ok(());
    ///         }
    ///         registration.wait(io)?;
    ///     }
    /// }
    /// ```
    ///
    /// A registration has no place in the queue: [`notify_one`](Self::notify_one) skips it until it is waited for, and
    /// stores the notification if there is no other waiter.
    pub fn register(&self) -> Registration<'_> {
        Registration { notify: self, since: self.state.lock().all }
    }

    /// Takes the stored notification. Returns false if there is none.
    pub fn try_wait(&self) -> bool {
        std::mem::take(&mut self.state.lock().kept)
    }

    /// Waits for a notification, or takes the stored one.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if a notification is stored. No notification is lost: a waiter that got one returns
    /// success, and a canceled waiter takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.wait_until(io, Until::Canceled)
    }

    /// Returns a source that takes a notification. For [`select`](crate::Io#method.select). The waiter stands in the
    /// queue like every other; a notification that it does not take goes to the next waiter, or is stored.
    pub fn on_wait(&self) -> impl Selectable<Output = ()> + '_ {
        Queued::new(Waiting { notify: self, since: None })
    }

    /// Waits for a notification, or takes the stored one. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(&self, io: &dyn Io) {
        uncancelable(|until| self.wait_until(io, until));
    }

    fn wait_until(&self, io: &dyn Io, until: Until) -> Result<(), Canceled> {
        call(io, Waiting { notify: self, since: None }, until)
    }
}

/// A registration that sees every later [`notify_all`](Notify::notify_all); from [`Notify::register`].
#[derive(Debug)]
#[must_use = "a registration does nothing until it is waited for"]
pub struct Registration<'a> {
    notify: &'a Notify,
    since: u64,
}

impl<'a> Registration<'a> {
    /// Waits like [`Notify::wait`], but returns at once if there was a `notify_all` since the registration.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; see `Notify::wait`.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(self, io: &dyn Io) -> Result<(), Canceled> {
        call(io, self.call(), Until::Canceled)
    }

    /// Waits like [`wait`](Self::wait). Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(self, io: &dyn Io) {
        uncancelable(|until| call(io, self.call(), until));
    }

    /// Returns a source that is ready when [`wait`](Self::wait) would return. For [`select`](crate::Io#method.select).
    pub fn on_wait(self) -> impl Selectable<Output = ()> + 'a {
        Queued::new(self.call())
    }

    fn call(&self) -> Waiting<'a> {
        Waiting { notify: self.notify, since: Some(self.since) }
    }
}

struct Waiting<'a> {
    notify: &'a Notify,
    /// The number of calls of `notify_all` when the waiter registered, if it did.
    since: Option<u64>,
}

impl Call for Waiting<'_> {
    type State = State;
    type Value = ();
    type Output = ();

    fn lock(&self) -> &Lock<State> {
        &self.notify.state
    }

    fn queue(state: &mut State) -> &mut WaitQueue<()> {
        &mut state.waiters
    }

    fn attempt(&self, state: &mut State, comer: Option<&Choice>) -> Option<Done<()>> {
        if self.since.is_some_and(|since| since != state.all) {
            return Done::alone(None, comer);
        }
        let done = if state.kept { Done::alone(None, comer) } else { None };
        state.kept &= done.is_none();
        done
    }

    fn output(self, _: Option<()>) {}
}
