//! Cancellation: requests, cancellation points, protection and timeouts. Other docs link here.
//!
//! - A **request** ([`Task::cancel`](crate::Task::cancel), [`Group::cancel`](crate::Group::cancel))
//!   makes the task's next *cancellation point*, or the one it is blocked in, return [`Canceled`],
//!   **once**. The points after it succeed, so that clean-up code can do I/O. Every call that can
//!   block is a point, also when it would not have to block, and its documentation says so.
//! - [`recancel`](crate::Io#method.recancel) takes the `Canceled` back and re-arms it.
//! - **Tear-down is sticky**: shutdown, a dropped [`Task`](crate::Task) and a group that ends by
//!   error or panic make *every* point return `Canceled`, so that a loop with back-off cannot
//!   swallow it. Clean-up I/O then goes into `shield` plus `timeout`. [`Task::abort`](crate::Task::abort) and
//!   [`Group::abort`](crate::Group::abort) ask for the same.
//! - What nobody owns as a whole a [`CancellationToken`](crate::CancellationToken) tears down: the points in its
//!   [`run`](crate::CancellationToken::run), and those of the tasks that were started there. Tokens have children.
//! - A scope that has failed, since a member of it has panicked or, of a
//!   [`try_group`](crate::Io#method.try_group), returned an error, tears its other members and its own body down, so that
//!   the scope comes to its end and tells; what follows the body is not affected.
//! - [`shield`](crate::Io#method.shield) shields a region: the request waits and arrives after it.
//! - **Completion wins**: an operation that succeeded although it was being canceled reports its
//!   success, and the request stays pending for the next point. No byte, socket, item, permit or
//!   lock is lost.
//! - A request to a task that waits for a task or a group is **copied** to them and stays pending
//!   on the waiter, whose next point returns it.
//! - A **timeout** ([`timeout`](crate::Io#method.timeout)) is a cancellation with a scope. It nests,
//!   passes to the tasks started within it, and is told from a request by its identity: only the
//!   `timeout` whose own request comes back in the error reports that the time is over.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::context::{Inherited, TimeoutId, Unparker};
use crate::error::SpawnErrorKind;
use crate::stream::Incomplete;
use crate::sync::{RecvError, SendErrorKind, broadcast};
use crate::task::Requests;
pub(crate) use crate::task::{REQUESTED, SHUT_DOWN, STICKY};

/// The running task was asked to stop: what a cancellation point returns, once per request.
///
/// Return it, or hand it back with [`recancel`](crate::Io#method.recancel). It converts to
/// [`io::Error`], and [`Canceled::from_error`] gets it back. Nobody can make one, and it is handed back once:
///
/// ```compile_fail,E0382
/// use iolite_io::{Canceled, Io};
///
/// fn twice(io: &dyn Io, canceled: Canceled) {
///     io.recancel(canceled);
///     io.recancel(canceled);
/// }
/// ```
#[must_use = "a request that is dropped is forgotten: return it, or hand it back with `recancel`"]
#[derive(Debug)]
pub struct Canceled {
    cause: Cause,
}

/// Where a `Canceled` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody asked the task to stop.
    Requested,
    /// A timeout around the call has passed.
    TimedOut(TimeoutId),
    /// A member of the group whose body runs has failed.
    Aborted,
    /// The token was canceled in whose `run` the call was made, or the task was started.
    Token,
    /// The call was made inside a panic hook.
    PanicHook,
}

impl Canceled {
    pub(crate) fn requested() -> Self {
        Self { cause: Cause::Requested }
    }

    pub(crate) fn timed_out(id: TimeoutId) -> Self {
        Self { cause: Cause::TimedOut(id) }
    }

    pub(crate) fn aborted() -> Self {
        Self { cause: Cause::Aborted }
    }

    pub(crate) fn in_panic_hook() -> Self {
        Self { cause: Cause::PanicHook }
    }

    pub(crate) fn of(cause: Cause) -> Self {
        Self { cause }
    }

    pub(crate) fn into_cause(self) -> Cause {
        self.cause
    }

    pub(crate) fn is_from(&self, id: TimeoutId) -> bool {
        self.cause == Cause::TimedOut(id)
    }

    /// Whether `error` carries a `Canceled`. The kernel's `ECANCELED` does not.
    pub fn is_in(error: &io::Error) -> bool {
        error.canceled().is_some()
    }

    /// Gets the `Canceled` out of an error that was made from one, also out of an
    /// [`Incomplete`].
    ///
    /// # Errors
    ///
    /// The error itself, when it is another one.
    pub fn from_error(error: io::Error) -> Result<Self, io::Error> {
        match error.downcast::<Incomplete>() {
            Ok(Incomplete { count, unwritten, source }) => {
                source.downcast::<Self>().map_err(|source| Incomplete::error(count, unwritten, source))
            }
            Err(error) => error.downcast::<Self>(),
        }
    }
}

impl fmt::Display for Canceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause {
            Cause::Requested => "canceled: the task was asked to stop",
            Cause::TimedOut(_) => "canceled: a timeout around this call has passed",
            Cause::Aborted => "canceled: a member of the group has failed",
            Cause::Token => "canceled: a token around this call was canceled",
            Cause::PanicHook => "refused: this call could suspend, and a panic hook runs",
        })
    }
}

impl Error for Canceled {}

impl From<Canceled> for io::Error {
    /// Never [`io::ErrorKind::Interrupted`], which std's helpers retry.
    fn from(canceled: Canceled) -> Self {
        io::Error::other(canceled)
    }
}

/// The time given to a call or a block is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl Error for TimedOut {}

impl From<TimedOut> for io::Error {
    fn from(timed_out: TimedOut) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, timed_out)
    }
}

/// Why a wait with a deadline did not get what it waited for.
#[derive(Debug)]
pub enum WaitError {
    /// The task was asked to stop.
    Canceled(Canceled),
    /// The deadline passed first.
    TimedOut(TimedOut),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Canceled(canceled) => canceled.fmt(f),
            WaitError::TimedOut(timed_out) => timed_out.fmt(f),
        }
    }
}

impl Error for WaitError {}

impl From<Canceled> for WaitError {
    fn from(canceled: Canceled) -> Self {
        WaitError::Canceled(canceled)
    }
}

impl From<TimedOut> for WaitError {
    fn from(timed_out: TimedOut) -> Self {
        WaitError::TimedOut(timed_out)
    }
}

impl From<WaitError> for io::Error {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Canceled(canceled) => canceled.into(),
            WaitError::TimedOut(timed_out) => timed_out.into(),
        }
    }
}

/// An error type in which a `Canceled` can be recognized, so that it can pass through
/// [`timeout`](crate::Io#method.timeout). Implement it for your own error types.
#[diagnostic::on_unimplemented(
    message = "a timeout cannot look into the error `{Self}`",
    note = "the closure's error may be `std::io::Error`, `Canceled`, `Box<dyn Error + Send + Sync>`, one of this \
            library's, or your own that implements `CarriesCanceled`; `timeout_any` takes every other, such as `anyhow::Error`"
)]
pub trait CarriesCanceled: Sized {
    /// What `timeout` returns: this error, or that the time is over.
    type OrTimedOut;

    /// The `Canceled` in this error, if there is one.
    fn canceled(&self) -> Option<&Canceled>;

    /// The same error, where `timeout` passes it on.
    fn into_or_timed_out(self) -> Self::OrTimedOut;

    /// What `timeout` makes of this error when it carries its own request. What else the error says or brings back,
    /// how far the call had come or an item for instance, is to be kept.
    fn into_timed_out(self) -> Self::OrTimedOut;
}

impl CarriesCanceled for io::Error {
    type OrTimedOut = io::Error;

    fn canceled(&self) -> Option<&Canceled> {
        Incomplete::of(self).map_or(self, |incomplete| &incomplete.source).get_ref()?.downcast_ref()
    }

    fn into_or_timed_out(self) -> io::Error {
        self
    }

    fn into_timed_out(self) -> io::Error {
        match self.downcast::<Incomplete>() {
            Ok(Incomplete { count, unwritten, .. }) => Incomplete::error(count, unwritten, TimedOut.into()),
            Err(_) => TimedOut.into(),
        }
    }
}

impl CarriesCanceled for Canceled {
    type OrTimedOut = WaitError;

    fn canceled(&self) -> Option<&Canceled> {
        Some(self)
    }

    fn into_or_timed_out(self) -> WaitError {
        self.into()
    }

    fn into_timed_out(self) -> WaitError {
        TimedOut.into()
    }
}

impl CarriesCanceled for WaitError {
    type OrTimedOut = WaitError;

    fn canceled(&self) -> Option<&Canceled> {
        match self {
            WaitError::Canceled(canceled) => Some(canceled),
            WaitError::TimedOut(_) => None,
        }
    }

    fn into_or_timed_out(self) -> WaitError {
        self
    }

    fn into_timed_out(self) -> WaitError {
        TimedOut.into()
    }
}

/// Boxes whose errors are looked through, each with its [`source`](Error::source).
macro_rules! boxed {
    ($($error:ty),*) => {$(
        impl CarriesCanceled for Box<$error> {
            type OrTimedOut = Self;

            fn canceled(&self) -> Option<&Canceled> {
                canceled_in(&**self)
            }

            fn into_or_timed_out(self) -> Self {
                self
            }

            fn into_timed_out(self) -> Self {
                Box::new(TimedOut)
            }
        }
    )*};
}

boxed!(dyn Error, dyn Error + Send, dyn Error + Send + Sync);

/// The `Canceled` in an error, in one that brought it about, and so on.
fn canceled_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Canceled> {
    fn of<'a, E: Error + CarriesCanceled + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a Canceled> {
        error.downcast_ref::<E>().and_then(CarriesCanceled::canceled)
    }
    let errors = std::iter::successors(Some(error), |&error| error.source());
    errors.take(CHAIN_MAX).find_map(|error| {
        of::<Canceled>(error)
            .or_else(|| of::<io::Error>(error))
            .or_else(|| of::<WaitError>(error))
            .or_else(|| of::<RecvError>(error))
            .or_else(|| of::<SendErrorKind>(error))
            .or_else(|| of::<broadcast::RecvError>(error))
            .or_else(|| of::<SpawnErrorKind>(error))
    })
}

/// How many errors are looked at: one could be its own source.
const CHAIN_MAX: usize = 100;

/// The cancellation state of one task, shared by the task and all that may cancel it.
#[derive(Debug)]
pub(crate) struct TaskState {
    requests: Requests,
    /// The task on top of which this one runs, as its inline child, unless that was shielded when this
    /// began. Its requests are this one's too: a child looks for them, on the context of both, where their
    /// wakes arrive. Null otherwise. This and `seen` are touched by the running task alone.
    below: AtomicPtr<TaskState>,
    /// How many requests to those below this one has had delivered, or found when it began.
    seen: AtomicU32,
    inherited: Vec<Inherited>,
    /// The group of which the task is a member; only compared. Null for none.
    group: AtomicPtr<()>,
}

impl TaskState {
    pub(crate) const fn new(inherited: Vec<Inherited>) -> Self {
        Self {
            requests: Requests::new(AtomicU32::new(0), AtomicPtr::new(std::ptr::null_mut())),
            below: AtomicPtr::new(std::ptr::null_mut()),
            seen: AtomicU32::new(0),
            inherited,
            group: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Stands for "no task": a plain thread outside of every task. Nobody can cancel it.
    pub(crate) fn none() -> &'static TaskState {
        static NONE: TaskState = TaskState::new(Vec::new());
        &NONE
    }

    fn is_none(&self) -> bool {
        std::ptr::eq(self, Self::none())
    }

    #[inline]
    pub(crate) fn inherited(&self) -> &[Inherited] {
        &self.inherited
    }

    /// The requests to the task that are pending. For the task itself.
    #[inline]
    pub(crate) fn requests(&self) -> u32 {
        let own = self.requests.pending();
        if self.below.load(Ordering::Relaxed).is_null() { own } else { own | self.requests_from_below() }
    }

    /// How many requests it has had, and those below it; for the task itself.
    pub(crate) fn count(&self) -> u32 {
        self.requests.sticky_and_count().1.wrapping_add(self.sum_below().1)
    }

    /// Whether its runtime has torn it down. For anybody, after its end.
    pub(crate) fn was_shut_down(&self) -> bool {
        self.requests.were_shut_down()
    }

    #[cold]
    fn requests_from_below(&self) -> u32 {
        let (sticky, count) = self.sum_below();
        if count == self.seen.load(Ordering::Relaxed) { sticky } else { sticky | REQUESTED }
    }

    /// Whether those below are torn down, and how many requests they have had.
    #[allow(unsafe_code)]
    fn sum_below(&self) -> (u32, u32) {
        let (mut sticky, mut count) = (0, 0_u32);
        let mut state = self;
        // SAFETY: it does not end before what runs on top of it.
        while let Some(below) = unsafe { state.below.load(Ordering::Relaxed).as_ref() } {
            let of_below = below.requests.sticky_and_count();
            sticky |= of_below.0;
            count = count.wrapping_add(of_below.1);
            state = below;
        }
        (sticky, count)
    }

    /// Takes note of the group that the task has entered.
    pub(crate) fn set_group<T>(&self, group: *const T) {
        self.group.store(group.cast_mut().cast(), Ordering::Relaxed);
    }

    /// Whether `is` says so of the running task or of one below it, down to the first that was shielded.
    #[allow(unsafe_code)]
    fn is_or_is_above(&self, is: impl Fn(&TaskState) -> bool) -> bool {
        let mut state = self;
        loop {
            if is(state) {
                return true;
            }
            // SAFETY: it does not end before what runs on top of it.
            match unsafe { state.below.load(Ordering::Relaxed).as_ref() } {
                Some(below) => state = below,
                None => return false,
            }
        }
    }

    /// Whether this is a member of `group`, or runs on top of one. For the running task.
    pub(crate) fn is_within<T>(&self, group: *const T) -> bool {
        self.is_or_is_above(|state| state.group.load(Ordering::Relaxed).cast_const().cast() == group)
    }

    /// Whether this is `other`, or runs on top of it. For the running task.
    pub(crate) fn is_on_top_of(&self, other: &TaskState) -> bool {
        self.is_or_is_above(|state| std::ptr::eq(state, other))
    }

    /// Requests cancellation of the task and of what runs inline on top of it.
    pub(crate) fn request(&self, bits: u32) {
        if bits != 0
            && let Some(context) = self.requests.add(bits)
        {
            context.unpark();
        }
    }

    /// Whether the task has begun and has not ended. For anybody.
    pub(crate) fn is_running(&self) -> bool {
        self.requests.is_running()
    }

    /// Whether it was ever requested, or the task has given a request back. For anybody.
    pub(crate) fn is_canceled(&self) -> bool {
        self.requests.were_any()
    }

    /// Delivers a request: clears the one-shot bit. `false` when there is none.
    pub(crate) fn take_request(&self) -> bool {
        let own = self.requests.take();
        let (sticky, count) = self.sum_below();
        let seen = self.seen.load(Ordering::Relaxed);
        self.seen.store(count, Ordering::Relaxed);
        own | sticky != 0 || count != seen
    }

    /// Makes a request, a delivered one for instance, pending. For the task itself; `false` when it is none.
    pub(crate) fn rearm(&self) -> bool {
        if self.is_none() {
            return false;
        }
        self.requests.rearm();
        true
    }

    /// Begins to run on `context`, on top of `below`, whose requests reach it, those that are pending
    /// included. A shielded task passes nothing on.
    pub(crate) fn begin(&self, context: Unparker, below: &TaskState, shielded: bool) {
        self.requests.begin(context);
        if below.is_none() || shielded {
            return;
        }
        self.below.store(std::ptr::from_ref(below).cast_mut(), Ordering::Relaxed);
        // Counted before it is looked at: what comes in between is found twice, not missed.
        self.seen.store(self.sum_below().1, Ordering::Relaxed);
        if below.requests() != 0 {
            let _ = self.rearm();
        }
    }

    pub(crate) fn end(&self) {
        self.below.store(std::ptr::null_mut(), Ordering::Relaxed);
        self.requests.end();
    }
}
