//! Notifications of which one is kept.

use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{Choice, WaitQueue};
use crate::{Canceled, Io};

/// Tells that there is something to do. A notification for which nobody waits is kept for the next to wait;
/// one at most.
#[derive(Debug, Default)]
pub struct Notify {
    state: Lock<State>,
}

/// Nobody waits while `kept`.
#[derive(Debug, Default)]
struct State {
    kept: bool,
    /// How often all were notified.
    all: u64,
    waiters: WaitQueue<()>,
}

impl Notify {
    /// Makes one for which nobody waits, without a notification.
    pub const fn new() -> Self {
        Self { state: Lock::new(State { kept: false, all: 0, waiters: WaitQueue::new() }) }
    }

    /// Wakes the longest waiting; keeps the notification when nobody waits. Never suspends; from any thread.
    pub fn notify_one(&self) {
        let mut state = self.state.lock();
        let next = state.waiters.release();
        state.kept |= next.is_none();
        drop(state);
        next.into_iter().for_each(|next| next.wake());
    }

    /// Wakes all who wait or are [registered](Self::register), and keeps nothing for others. Never suspends; from any
    /// thread.
    pub fn notify_all(&self) {
        let mut state = self.state.lock();
        state.all += 1;
        let all = state.waiters.release_all();
        drop(state);
        all.wake();
    }

    /// Registers the caller for the next [`notify_all`](Self::notify_all), before it waits. Never suspends.
    ///
    /// A program that checks a condition and then waits would miss what `notify_all` tells between the two. One that
    /// registers first, checks, and then waits for the registration misses nothing:
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
    /// A registration takes no place in the queue: [`notify_one`](Self::notify_one) passes it by until it is waited for,
    /// and is kept if nobody else waits.
    pub fn register(&self) -> Registration<'_> {
        Registration { notify: self, since: self.state.lock().all }
    }

    /// Takes the notification that was kept; `false` when there is none.
    pub fn try_wait(&self) -> bool {
        std::mem::take(&mut self.state.lock().kept)
    }

    /// Waits for a notification, or takes the one that was kept.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if one was kept. A notification is never lost: who got one returns
    /// success, who is canceled takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.wait_until(io, Until::Canceled)
    }

    /// A notification, as one of many things to [wait for](crate::Io#method.select). Who waits has its place among
    /// all others who do; what is not taken goes to the next, or is kept.
    pub fn on_wait(&self) -> impl Selectable<Output = ()> + '_ {
        Queued::new(Waiting { notify: self, since: None })
    }

    /// As [`wait`](Self::wait), whatever is requested meanwhile.
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

/// Whoever has this sees every [`notify_all`](Notify::notify_all) since; from [`Notify::register`].
#[derive(Debug)]
#[must_use = "a registration does nothing until it is waited for"]
pub struct Registration<'a> {
    notify: &'a Notify,
    since: u64,
}

impl<'a> Registration<'a> {
    /// Waits as [`Notify::wait`]; returns at once if all were notified since the registration.
    ///
    /// # Cancellation
    ///
    /// As `Notify::wait`.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(self, io: &dyn Io) -> Result<(), Canceled> {
        call(io, self.call(), Until::Canceled)
    }

    /// As [`wait`](Self::wait), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(self, io: &dyn Io) {
        uncancelable(|until| call(io, self.call(), until));
    }

    /// What [`wait`](Self::wait) waits for, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_wait(self) -> impl Selectable<Output = ()> + 'a {
        Queued::new(self.call())
    }

    fn call(&self) -> Waiting<'a> {
        Waiting { notify: self.notify, since: Some(self.since) }
    }
}

struct Waiting<'a> {
    notify: &'a Notify,
    /// How often all had been notified when the waiter registered, if it did.
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
