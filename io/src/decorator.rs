//! `Io`s around others.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Report;
use crate::io::Multishot;
use crate::operation::{Operation, Output};
use crate::runnable::{Refused, SpawnMode, Start, TaskRef, Ticket};
use crate::time::{Clock, Instant};
use crate::{Backend, Io};

/// An [`Io`] around another: it does what the other does, but for the methods that it writes itself.
///
/// Every decorator is an `Io`. All of its methods are those of `Io`, with the same promises, and pass
/// on to [`inner`](Self::inner) unless they are written; but [`multishot`](Self::multishot) gives none, so that
/// each operation is seen by [`operate`](Self::operate). One that leaves operations alone passes it on too.
///
/// ```
/// use std::io;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::{Arc, Weak};
///
/// use iolite_io::{Io, backend::Decorator, operation::{Operation, Output}};
///
/// /// Counts operations.
/// struct Counting {
///     io: Arc<dyn Io>,
///     operations: AtomicU64,
///     this: Weak<Self>,
/// }
///
/// impl Counting {
///     fn around(io: Arc<dyn Io>) -> Arc<Self> {
///         Arc::new_cyclic(|this| Self { io, operations: AtomicU64::new(0), this: this.clone() })
///     }
/// }
///
/// impl Decorator for Counting {
///     fn inner(&self) -> &dyn Io {
///         &*self.io
///     }
///
///     fn handle(&self) -> Option<Arc<dyn Io>> {
///         self.this.upgrade().map(|this| this as _)
///     }
///
///     fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
///         self.operations.fetch_add(1, Ordering::Relaxed);
///         self.inner().operate(operation)
///     }
/// }
///
/// fn count(io: Arc<dyn Io>, program: impl FnOnce(&dyn Io)) -> u64 {
///     let counting = Counting::around(io);
///     program(&*counting);
///     counting.operations.load(Ordering::Relaxed)
/// }
/// ```
pub trait Decorator: Send + Sync {
    /// The `Io` that it is around.
    fn inner(&self) -> &dyn Io;

    /// As [`Io::handle`]: this decorator, not the other. `None` where it only borrows the other: tasks that may
    /// outlive the call are not started through it then, members of groups are.
    fn handle(&self) -> Option<Arc<dyn Io>>;

    /// As [`Io::start`].
    ///
    /// # Cancellation
    ///
    /// As [`Io::start`].
    ///
    /// # Errors
    ///
    /// As [`Io::start`].
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        self.inner().start(start, how)
    }

    /// As [`Io::try_run_inline`].
    fn try_run_inline(&self, ticket: Ticket) {
        self.inner().try_run_inline(ticket);
    }

    /// As [`Io::operate`].
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// As [`Io::operate`].
    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        self.inner().operate(operation)
    }

    /// As [`Io::multishot`]. Gives none unless it is written.
    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        None
    }

    /// As [`Io::park`].
    fn park(&self, deadline: Option<Instant>) {
        self.inner().park(deadline);
    }

    /// As [`Io::yield_now`].
    ///
    /// # Panics
    ///
    /// As [`Io::yield_now`].
    fn yield_now(&self) {
        self.inner().yield_now();
    }

    /// As [`Io::now`].
    fn now(&self) -> Instant {
        self.inner().now()
    }

    /// As [`Io::time`].
    fn time(&self, clock: Clock) -> Duration {
        self.inner().time(clock)
    }

    /// As [`Io::random`].
    ///
    /// # Errors
    ///
    /// As [`Io::random`].
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner().random(bytes)
    }

    /// As [`Io::tasks`].
    fn tasks(&self) -> Vec<TaskRef> {
        self.inner().tasks()
    }

    /// As [`Io::report`].
    fn report(&self) -> Option<Report> {
        self.inner().report()
    }

    /// As [`Io::backend`].
    fn backend(&self) -> Backend {
        self.inner().backend()
    }
}

/// So that an `&Arc<dyn Io>`, such as a reference to a [`handle`](Io::handle) that a struct keeps, goes where an `&dyn Io` is
/// wanted. It is the same `Io`; a call through it takes one more step than one through `&**arc`.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use iolite_io::{Canceled, Io};
///
/// struct Pinger {
///     io: Arc<dyn Io>,
/// }
///
/// impl Pinger {
///     fn run(&self) -> Result<(), Canceled> {
///         pause(&self.io)
///     }
/// }
///
/// fn pause(io: &dyn Io) -> Result<(), Canceled> {
///     io.sleep(Duration::from_secs(1))
/// }
/// ```
// Every method is passed on, also those that have a default.
impl Io for Arc<dyn Io> {
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        (**self).start(start, how)
    }

    fn try_run_inline(&self, ticket: Ticket) {
        (**self).try_run_inline(ticket);
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        (**self).operate(operation)
    }

    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        (**self).multishot()
    }

    fn park(&self, deadline: Option<Instant>) {
        (**self).park(deadline);
    }

    fn yield_now(&self) {
        (**self).yield_now();
    }

    fn now(&self) -> Instant {
        (**self).now()
    }

    fn time(&self, clock: Clock) -> Duration {
        (**self).time(clock)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        (**self).random(bytes)
    }

    fn tasks(&self) -> Vec<TaskRef> {
        (**self).tasks()
    }

    fn report(&self) -> Option<Report> {
        (**self).report()
    }

    fn backend(&self) -> Backend {
        (**self).backend()
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        (**self).handle()
    }
}

impl<D: Decorator> Io for D {
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        Decorator::start(self, start, how)
    }

    fn try_run_inline(&self, ticket: Ticket) {
        Decorator::try_run_inline(self, ticket);
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        Decorator::operate(self, operation)
    }

    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        Decorator::multishot(self)
    }

    fn park(&self, deadline: Option<Instant>) {
        Decorator::park(self, deadline);
    }

    fn yield_now(&self) {
        Decorator::yield_now(self);
    }

    fn now(&self) -> Instant {
        Decorator::now(self)
    }

    fn time(&self, clock: Clock) -> Duration {
        Decorator::time(self, clock)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        Decorator::random(self, bytes)
    }

    fn tasks(&self) -> Vec<TaskRef> {
        Decorator::tasks(self)
    }

    fn report(&self) -> Option<Report> {
        Decorator::report(self)
    }

    fn backend(&self) -> Backend {
        Decorator::backend(self)
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        Decorator::handle(self)
    }
}
