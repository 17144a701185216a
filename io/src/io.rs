//! The `Io` trait: the narrow waist between programs and backends.

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

/// What performs a program's input and output and runs its tasks.
///
/// A program is handed an `&dyn Io` and hands it on; it never asks for one. What it calls are
/// mostly the conveniences on `dyn Io` below and the types of [`crate::net`], [`crate::fs`] and
/// [`crate::sync`], all of which are written once, on the methods of this trait.
///
/// # For implementers
///
/// A backend performs operations and starts tasks; a [`Decorator`](crate::backend::Decorator) passes them on to
/// another `Io` and does something beside. The trait is safe to implement: nothing that is memory safe depends
/// on what an implementation does. What it must do to be *useful*:
///
/// - [`operate`](Self::operate) is a cancellation point: it asks
///   [`Context::check_operation`](crate::backend::Context::check_operation) before it begins, gives up when a request
///   arrives meanwhile, and reports a success even if it was being canceled, after
///   [`Context::recancel`](crate::backend::Context::recancel). Only an attempt is none
///   ([`Operation::is_point`](crate::operation::Operation::is_point)).
/// - [`park`](Self::park) blocks the *calling* context, whatever that is, and may return early.
/// - [`start`](Self::start) runs every [`Start`] it accepts, also during shutdown.
/// - A panic out of `park`, `yield_now` or `now` during a wait ends the process: waiters are linked from their
///   stack frames.
pub trait Io: Send + Sync {
    /// Starts a task with what it asks for ([`Start::options`]), or gives it back.
    ///
    /// # Cancellation
    ///
    /// A cancellation point for [`SpawnMode::Waiting`] while it waits.
    ///
    /// # Errors
    ///
    /// The start and the reason, when it cannot run in the wanted way.
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused>;

    /// Begins the task that this `Io` has [offered](Start::offer) under `ticket`, on the calling context,
    /// which joins it and would otherwise wait: as an inline child on top of itself, which saves the
    /// way to another context and back. Does nothing when the task was begun already, is not this
    /// `Io`'s, or must not run on this context.
    fn try_run_inline(&self, ticket: Ticket) {
        let _ = ticket;
    }

    /// Performs one operation and waits for its end.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The operation's, with its errno; or [`Canceled`].
    fn operate(&self, operation: Operation<'_>) -> io::Result<Output>;

    /// Returns a handle for multishot operations, or `None` if this `Io` does not support them.
    ///
    /// Callers that get `None` fall back to repeated single operations, so a decorator that only forwards
    /// [`operate`](Self::operate) still sees every one.
    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        None
    }

    /// Blocks the calling context until its token arrives ([`crate::backend::Unparker`]) or the
    /// deadline passes. May return early. Not a cancellation point by itself.
    fn park(&self, deadline: Option<Instant>) {
        context::park(deadline);
    }

    /// Lets other tasks run. Not a cancellation point.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](crate::no_suspend).
    fn yield_now(&self) {
        context::yield_now();
    }

    /// The time of the monotonic clock.
    fn now(&self) -> Instant;

    /// The time that a clock shows, since its beginning: the system's, unless an implementation has others. It
    /// agrees with [`now`](Self::now).
    fn time(&self, clock: Clock) -> Duration {
        clock.read()
    }

    /// Fills `bytes` with random bytes that are fit for cryptography.
    ///
    /// # Errors
    ///
    /// Where the system has no source of randomness.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// The tasks that it has started and that have not ended, as far as it knows them; for `dump`.
    /// Those that wait for their turn, and those on top of others, may be missing.
    fn tasks(&self) -> Vec<TaskRef> {
        Vec::new()
    }

    /// Where it reports what nobody waits for, one line at a time; `None` where nobody listens. To be called through
    /// [`tell`](crate::backend::tell). Each panic of a task is told there, with the task's name and the place where it was
    /// started.
    fn report(&self) -> Option<Report> {
        None
    }

    /// Which backend this is, with the features in use.
    fn backend(&self) -> Backend;

    /// This very `Io`, to be kept; `None` for a decorator that borrows another.
    fn handle(&self) -> Option<Arc<dyn Io>>;
}

/// The name of a backend and what it uses; prints like `evented(io_uring: defer-taskrun, ext-arg)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// `threaded`, `evented` or another implementation's name.
    pub name: &'static str,
    /// How many executors a task can be placed on ([`Placement`](crate::task::Placement)): 1 where there
    /// is nothing to choose.
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

/// A context waits through the `Io` that it was handed.
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

/// One operation that is submitted once and answers many times, for one caller after the other.
///
/// It waits in the kernel while nobody asks, and what arrives meanwhile is kept. Dropping it stops that, and drops what has
/// arrived and was not taken. Nothing that arrives after the drop is taken, whatever thread and context it happens on; the
/// drop does not suspend.
///
/// # For implementers
///
/// The source is borrowed by each call and by nothing in between: only a call of
/// [`next`](Self::next) may make the kernel look at a descriptor by its number.
pub trait Multishot: fmt::Debug + Send + Sync {
    /// The next arrival, which is waited for. `source` is the same at each call.
    ///
    /// `None` says that a single operation has to do, this time: of a kernel that knows no better, of
    /// a context for which it would bring nothing, of a pool without a free buffer. Whatever had
    /// arrived has been taken then, and nothing is asked of the kernel that could overtake it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. What arrives later is kept for the next call.
    ///
    /// # Errors
    ///
    /// The operation's, with its errno, behind what arrived before it; or
    /// [`Canceled`](crate::Canceled).
    fn next(&mut self, io: &dyn Io, source: Source<'_>) -> Option<io::Result<Arrival>>;

    /// Stops, waits until the kernel has, and hands out what had arrived and was not taken, the
    /// oldest first.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; the kernel answers at once.
    fn stop(self: Box<Self>, io: &dyn Io) -> Vec<io::Result<Arrival>>;
}
