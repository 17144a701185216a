//! An `Io` that wraps another `Io`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Report;
use crate::io::Multishot;
use crate::operation::{Operation, Output};
use crate::runnable::{Refused, SpawnMode, Start, TaskRef, Ticket};
use crate::time::{Clock, Instant};
use crate::{Backend, Io};

/// An [`Io`] that wraps another one and overrides some of its methods.
///
/// Every decorator is an `Io`. All methods are those of `Io`, make the same promises, and forward to
/// [`inner`](Self::inner) by default. The one exception is [`multishot`](Self::multishot), which returns `None` by
/// default so that [`operate`](Self::operate) sees every operation. A decorator that does not look at operations should
/// forward `multishot` too.
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
    /// Returns the wrapped `Io`.
    fn inner(&self) -> &dyn Io;

    /// Returns this decorator, not the wrapped `Io`, as an `Arc` that can be kept; see [`Io::handle`].
    ///
    /// Returns `None` if the decorator only borrows the wrapped `Io`. Tasks that may outlive the call are then not
    /// started through it; members of groups are.
    fn handle(&self) -> Option<Arc<dyn Io>>;

    /// Implements [`Io::start`].
    ///
    /// # Cancellation
    ///
    /// See [`Io::start`].
    ///
    /// # Errors
    ///
    /// See [`Io::start`].
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        self.inner().start(start, how)
    }

    /// Implements [`Io::try_run_inline`].
    fn try_run_inline(&self, ticket: Ticket) {
        self.inner().try_run_inline(ticket);
    }

    /// Implements [`Io::operate`].
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// See [`Io::operate`].
    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        self.inner().operate(operation)
    }

    /// Implements [`Io::multishot`]. The default returns `None`.
    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        None
    }

    /// Implements [`Io::park`].
    fn park(&self, deadline: Option<Instant>) {
        self.inner().park(deadline);
    }

    /// Implements [`Io::yield_now`].
    ///
    /// # Panics
    ///
    /// See [`Io::yield_now`].
    fn yield_now(&self) {
        self.inner().yield_now();
    }

    /// Implements [`Io::now`].
    fn now(&self) -> Instant {
        self.inner().now()
    }

    /// Implements [`Io::time`].
    fn time(&self, clock: Clock) -> Duration {
        self.inner().time(clock)
    }

    /// Implements [`Io::random`].
    ///
    /// # Errors
    ///
    /// See [`Io::random`].
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner().random(bytes)
    }

    /// Implements [`Io::tasks`].
    fn tasks(&self) -> Vec<TaskRef> {
        self.inner().tasks()
    }

    /// Implements [`Io::report`].
    fn report(&self) -> Option<Report> {
        self.inner().report()
    }

    /// Implements [`Io::backend`].
    fn backend(&self) -> Backend {
        self.inner().backend()
    }
}

/// Lets an `&Arc<dyn Io>`, such as a reference to a [`handle`](Io::handle) that a struct keeps, be passed as `&dyn Io`.
/// It is the same `Io`; a call through it takes one more indirection than a call through `&**arc`.
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
// Forwards every method, including those that have a default.
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
