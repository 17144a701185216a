//! Cancellation points: the checks of a context before and during each wait.

use super::current::Context;
use super::park::Wait;
use super::requests::REQUESTED;
use super::turn;
use crate::cancel::{Canceled, Cause};
use crate::time::Instant;

impl Context {
    /// A bare cancellation point: delivers a pending request, once.
    ///
    /// It counts as a call that does not have to wait: after a number of these, and sooner if the context has run for
    /// long, it lets other contexts of the same executor run first. A wait that has begun uses
    /// [`check_within_wait`](Self::check_within_wait) instead.
    ///
    /// # Errors
    ///
    /// [`Canceled`] if the running task was asked to stop or one of its timeouts has passed, and inside a panic hook,
    /// where nothing may suspend.
    ///
    /// # Panics
    ///
    /// Panics inside [`no_suspend`](crate::no_suspend()).
    #[inline]
    pub fn check(&self, io: &(impl Wait + ?Sized)) -> Result<(), Canceled> {
        self.check_costing(turn::POINT, io)
    }

    /// The cancellation point of [`Io::operate`](crate::Io::operate). It works like [`check`](Self::check), but counts
    /// for more, because an operation that does not wait takes a system call of the calling thread.
    ///
    /// # Errors
    ///
    /// See `check`.
    ///
    /// # Panics
    ///
    /// See `check`.
    #[inline]
    pub fn check_operation(&self, io: &(impl Wait + ?Sized)) -> Result<(), Canceled> {
        self.check_costing(turn::OPERATION, io)
    }

    #[inline]
    fn check_costing(&self, cost: u32, io: &(impl Wait + ?Sized)) -> Result<(), Canceled> {
        let goes_on = self.turn.spend(cost);
        if goes_on && self.is_undisturbed() { Ok(()) } else { self.check_slow(goes_on, &|| io.now()) }
    }

    /// Returns true if a cancellation point has nothing to do.
    #[inline]
    fn is_undisturbed(&self) -> bool {
        !self.in_panic_hook.get()
            && self.no_suspend.get() == 0
            && self.requests() == 0
            && self.scopes.borrow().is_empty()
    }

    #[cold]
    fn check_slow(&self, goes_on: bool, now: &dyn Fn() -> Instant) -> Result<(), Canceled> {
        if self.in_panic_hook.get() {
            return Err(Canceled::in_panic_hook());
        }
        self.assert_may_suspend();
        if !goes_on {
            self.look_whether_to_give_way();
        }
        self.deliver(now)
    }

    /// Does the same as [`check`](Self::check) inside a wait that has already passed its point. Never lets others run,
    /// because its caller may rely on what it has seen until it parks.
    ///
    /// # Errors
    ///
    /// See [`check`](Self::check).
    ///
    /// # Panics
    ///
    /// See `check`.
    #[inline]
    pub fn check_within_wait(&self, io: &(impl Wait + ?Sized)) -> Result<(), Canceled> {
        if self.is_undisturbed() { Ok(()) } else { self.check_slow(true, &|| io.now()) }
    }

    fn deliver(&self, now: &dyn Fn() -> Instant) -> Result<(), Canceled> {
        if self.requests() != 0 && !self.scopes.borrow().is_shielded() && self.task().take_request() {
            return Err(Canceled::requested());
        }
        if let Some(cause) = self.scopes.borrow().aborted() {
            return Err(Canceled::of(cause));
        }
        // Outside the borrow, because `now` may belong to a decorator and call back.
        if self.scopes.borrow().deadline().is_none() {
            return Ok(());
        }
        let now = now();
        match self.scopes.borrow_mut().take_passed(now) {
            Some(id) => Err(Canceled::timed_out(id)),
            None => Ok(()),
        }
    }

    /// Hands a delivered request back, so that the next cancellation point returns it again.
    pub fn recancel(&self, canceled: Canceled) {
        match canceled.into_cause() {
            Cause::TimedOut(id) if self.scopes.borrow_mut().rearm(id) => {}
            // There was no request.
            Cause::PanicHook => {}
            // Every later point of the scope returns `Canceled` in any case.
            Cause::Aborted | Cause::Token => {}
            Cause::Requested | Cause::TimedOut(_) => _ = self.task().rearm(),
        }
    }

    /// Returns the requests to the running task that are pending, not shielded and not yet `passed_on`. Takes none of them.
    pub(super) fn requests_to_pass_on(&self, passed_on: &mut PassedOn) -> u32 {
        let requests = self.unshielded_requests();
        if requests == 0 {
            return 0;
        }
        let count = self.task().count();
        let again = if passed_on.count.replace(count).is_some_and(|before| before != count) { REQUESTED } else { 0 };
        let new = requests & (!passed_on.requests | again);
        passed_on.requests |= requests;
        new
    }

    /// Returns the requests to the running task that are pending and not shielded. Takes none of them.
    fn unshielded_requests(&self) -> u32 {
        let requests = self.requests();
        let scopes = self.scopes.borrow();
        if scopes.is_empty() {
            return requests;
        }
        let requests = if scopes.is_shielded() { 0 } else { requests };
        if scopes.aborted().is_some() { requests | REQUESTED } else { requests }
    }
}

/// The requests to a waiter that were passed on to the tasks for which it waits. A request that is made again
/// is passed on again.
#[derive(Debug, Default)]
pub(super) struct PassedOn {
    requests: u32,
    /// The number of requests when it was last checked.
    count: Option<u32>,
}
