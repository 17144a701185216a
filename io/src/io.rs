//! The `Io` trait: the interface between programs and backends.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::context::{self, Report, Wait};
use crate::operation::{Arrival, Operation, Output, Source};
use crate::runnable::{Refused, SpawnMode, Start, TaskRef, Ticket};
use crate::time::{Clock, Instant};

#[cfg(doc)]
use crate::Canceled;

/// Performs a program's input and output and runs its tasks.
///
/// A function that does I/O takes an `&dyn Io` and passes it on to the functions that it calls.
///
/// # For programs
///
/// Programs call these methods of `dyn Io`, and the types of [`crate::net`], [`crate::fs`] and [`crate::sync`], which take
/// an `&dyn Io`. All of these are written once, on top of the methods of this trait.
///
/// | to | call |
/// |---|---|
/// | start a task | [`spawn_async`](#method.spawn_async) if only its result is wanted, [`spawn_concurrent`](#method.spawn_concurrent) or [`spawn_waiting`](#method.spawn_waiting) if somebody waits for what it does, [`spawn_thread`](#method.spawn_thread) if it blocks its thread |
/// | give a task a name, a stack size or a placement | [`task`](#method.task) |
/// | run tasks that borrow, in a scope | [`group`](#method.group); [`try_group`](#method.try_group) stops at the first error, [`join_set`](#method.join_set) returns results as they come |
/// | wait for one of several things | [`select`](#method.select), or the macro [`select!`](crate::select!) |
/// | limit the time of a region | [`timeout`](#method.timeout), [`timeout_at`](#method.timeout_at); [`timeout_any`](#method.timeout_any) for errors of other crates |
/// | sleep | [`sleep`](#method.sleep), [`sleep_until`](#method.sleep_until), [`sleep_until_time`](#method.sleep_until_time), [`interval`](#method.interval) |
/// | ask for the time | [`now`](Self::now), [`system_time`](#method.system_time), [`time`](Self::time) |
/// | respond to cancellation | [`check_cancel`](#method.check_cancel), [`recancel`](#method.recancel), [`shield`](#method.shield) |
/// | run a closure that blocks | [`offload`](#method.offload) |
/// | have several operations under way | [`batch`](#method.batch), [`CompletionQueue`](crate::completion::CompletionQueue) |
/// | let other tasks run | [`yield_now`](Self::yield_now) |
/// | get random bytes | [`random`](Self::random) |
/// | list the tasks that run | [`dump`](#method.dump) |
/// | keep the `Io` in a struct | [`handle`](Self::handle) |
///
/// # For implementers
///
/// A backend performs operations and starts tasks. A [`Decorator`](crate::backend::Decorator) forwards them to another
/// `Io` and does something in addition. The trait is safe to implement: memory safety does not depend on what an
/// implementation does. To be *useful*, an implementation keeps these rules:
///
/// - [`operate`](Self::operate) is a cancellation point: it calls
///   [`Context::check_operation`](crate::backend::Context::check_operation) before it begins, and gives up when a request
///   arrives during the operation. If the operation succeeds while it is being canceled, it calls
///   [`Context::recancel`](crate::backend::Context::recancel) and reports the success. An attempt is not a cancellation
///   point ([`Operation::is_point`](crate::operation::Operation::is_point)).
/// - [`park`](Self::park) blocks the *calling* context, of whatever kind, and may return early.
/// - [`start`](Self::start) runs every [`Start`] that it accepts, even during shutdown.
/// - During a wait, `park`, `yield_now` and `now` do not panic: a panic ends the process, because wait queues point
///   into the stack frames of waiters.
pub trait Io: Send + Sync {
    /// Starts a task with the options that it asks for ([`Start::options`]), or gives it back.
    ///
    /// # Cancellation
    ///
    /// With [`SpawnMode::Waiting`], a cancellation point while it waits.
    ///
    /// # Errors
    ///
    /// Returns the start together with the reason if the task cannot run in the requested mode.
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused>;

    /// Begins the task that this `Io` has [offered](Start::offer) under `ticket` on the calling context.
    ///
    /// A context that joins the task calls this instead of waiting. The task then runs as an inline child on top of the
    /// caller, which saves the switch to another context and back. Does nothing if the task has begun already, belongs
    /// to another `Io`, or must not run on this context.
    fn try_run_inline(&self, ticket: Ticket) {
        let _ = ticket;
    }

    /// Performs one operation and waits until it ends.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The error of the operation, with its errno, or [`Canceled`].
    fn operate(&self, operation: Operation<'_>) -> io::Result<Output>;

    /// Returns a handle for multishot operations, or `None` if this `Io` does not support them.
    ///
    /// Callers that get `None` fall back to repeated single operations, so a decorator that only forwards
    /// [`operate`](Self::operate) still sees every one.
    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        None
    }

    /// Blocks the calling context until its token arrives ([`crate::backend::Unparker`]) or the deadline passes. May
    /// return early. Not a cancellation point by itself.
    fn park(&self, deadline: Option<Instant>) {
        context::park(deadline);
    }

    /// Lets other tasks run. Not a cancellation point.
    ///
    /// # Panics
    ///
    /// Panics inside [`no_suspend`](crate::no_suspend).
    fn yield_now(&self) {
        context::yield_now();
    }

    /// Returns the time of the monotonic clock.
    fn now(&self) -> Instant;

    /// Returns the time that `clock` shows, counted from its epoch. The default reads the system's clock; an
    /// implementation may have its own. The result agrees with [`now`](Self::now).
    fn time(&self, clock: Clock) -> Duration {
        clock.read()
    }

    /// Fills `bytes` with random bytes that are fit for cryptography.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no source of randomness.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// Returns the tasks that this `Io` has started and that have not ended, as far as it knows them; `dump` prints
    /// them. Tasks that have not begun, and tasks that run on top of others, may be missing.
    fn tasks(&self) -> Vec<TaskRef> {
        Vec::new()
    }

    /// Returns the function to which this `Io` reports events that no caller waits for, one line each, or `None` if
    /// nobody listens. Call it through [`send_report`](crate::backend::send_report). Every panic of a task is reported, with the name
    /// of the task and the place where it was started.
    fn report(&self) -> Option<Report> {
        None
    }

    /// Returns the name of this backend and the features in use.
    fn backend(&self) -> Backend;

    /// Returns this `Io` as an `Arc` that can be kept, or `None` for a decorator that only borrows another `Io`.
    fn handle(&self) -> Option<Arc<dyn Io>>;
}

/// Describes a backend and what it uses; prints like `evented(io_uring: defer-taskrun, ext-arg)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The name: `threaded`, `evented` or that of another implementation.
    pub name: &'static str,
    /// The number of executors on which a task can be placed ([`Placement`](crate::task::Placement)); 1 if there is no
    /// choice.
    pub executors: usize,
    /// The kernel interfaces and features in use, and the size of the backend.
    pub detail: String,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.detail)
    }
}

impl fmt::Debug for dyn Io + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dyn Io {}", self.backend())
    }
}

/// A context waits through the `Io` that it is given.
impl<T: Io + ?Sized> Wait for T {
    #[inline]
    fn park(&self, deadline: Option<Instant>) {
        Io::park(self, deadline);
    }

    #[inline]
    fn yield_now(&self) {
        Io::yield_now(self);
    }

    #[inline]
    fn now(&self) -> Instant {
        Io::now(self)
    }
}

/// An operation that is submitted once and completes many times; each completion goes to the next caller of
/// [`next`](Self::next).
///
/// The operation stays in the kernel between calls, and arrivals are kept until a call takes them. Dropping the handle
/// stops the operation and drops the arrivals that were not taken. After the drop, nothing more is accepted or
/// received, whichever thread drops it. The drop does not suspend.
///
/// # For implementers
///
/// Each call borrows the source, and nothing borrows it between calls: only a call of [`next`](Self::next) may make the
/// kernel look up a descriptor by its number.
pub trait Multishot: fmt::Debug + Send + Sync {
    /// Waits for the next arrival and returns it. `source` is the same in each call.
    ///
    /// Returns `None` if the caller has to perform a single operation this time: the kernel does not support multishot, the
    /// context would gain nothing from it, or the pool has no free buffer. Every earlier arrival has been taken then, and the
    /// kernel has no request that could overtake the single operation.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. Arrivals that come later are kept for the next call.
    ///
    /// # Errors
    ///
    /// The error of the operation, with its errno, after all that arrived before it; or [`Canceled`](crate::Canceled).
    fn next(&mut self, io: &dyn Io, source: Source<'_>) -> Option<io::Result<Arrival>>;

    /// Stops the operation, waits until the kernel has stopped it, and returns the arrivals that were not taken, oldest
    /// first.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; the kernel answers at once.
    fn stop(self: Box<Self>, io: &dyn Io) -> Vec<io::Result<Arrival>>;
}
