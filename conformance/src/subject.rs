//! The subjects of the suite.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::Io;
use iolite_io::backend::Report;

/// A backend, or a decorator around one, that the suite checks.
pub trait Subject: Send + Sync {
    /// Returns the name that cases on this subject get: the name of its backend ([`iolite_io::Backend::name`]), and a
    /// part that distinguishes it from the other subjects of the run.
    fn name(&self) -> &str;

    /// Returns the name of the backend that it is, or is around, for `IOLITE_TEST_REQUIRE`. Default: its own name.
    fn backend(&self) -> &str {
        self.name()
    }

    /// Makes a runtime with the requested options. It lives until [`Running::shutdown`], and other runtimes live beside
    /// it.
    ///
    /// # Errors
    ///
    /// If this machine cannot run the backend, or not with these options; no case requests more than [`Wanted`] says
    /// that a backend must have.
    fn start(&self, wanted: &Wanted) -> io::Result<Running>;

    /// Runs `main` as a program would run its main function: as a task, on the calling thread.
    ///
    /// By default it runs on the calling thread, and in no task.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start); then `main` was not called.
    ///
    /// # Panics
    ///
    /// If `main` panics, after the runtime has ended.
    fn main(&self, wanted: &Wanted, main: Main<'_>) -> io::Result<()> {
        let runtime = self.start(wanted)?;
        // A panic drops the runtime, which shuts it down.
        main(runtime.io());
        runtime.shutdown();
        Ok(())
    }

    /// Returns true if each of its tasks has a thread to itself while it runs.
    ///
    /// Such a backend is tested with smaller crowds (200 tasks instead of 3,000), and may run offloaded closures on the
    /// calling thread.
    fn tasks_are_threads(&self) -> bool;
}

/// The main function of a program.
pub type Main<'a> = Box<dyn FnOnce(&dyn Io) + 'a>;

/// A runtime that a [`Subject`] has made. Dropping it ends the runtime, too.
pub struct Running {
    io: Arc<dyn Io>,
    end: Box<dyn FnOnce() + Send + Sync>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("io", &self.io).finish_non_exhaustive()
    }
}

impl Running {
    /// Wraps a runtime: `io` is the `Io` that is tested, and `end` ends the runtime, which tears the tasks down and
    /// waits until they have ended. Dropping `end`, which owns the runtime, does the same.
    pub fn new(io: Arc<dyn Io>, end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { io, end: Box::new(end) }
    }

    /// Returns the `Io` that is tested.
    #[must_use]
    pub fn io(&self) -> &dyn Io {
        &*self.io
    }

    /// Returns an owned handle to the same `Io`.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Io> {
        self.io.clone()
    }

    /// Ends the runtime.
    pub fn shutdown(self) {
        (self.end)();
    }
}

/// The options of a runtime that a case requests; `None` means the backend's own default.
///
/// Every backend has limits of its tasks and a grace. It ignores options that it has no use for, such as executors or a
/// pool for offloaded closures.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Wanted {
    /// The number of `spawn_async` tasks that run beside their spawners; further ones run inline.
    pub async_limit: Option<usize>,
    /// The number of `spawn_concurrent` tasks that may exist at once; further ones are refused. Unless a case says
    /// otherwise, there must be room for some hundreds, and for thousands if tasks are not threads.
    pub concurrent_limit: Option<usize>,
    /// The number of threads that run tasks without a thread of their own.
    pub executors: Option<usize>,
    /// The number of threads that run the closures that such tasks offload.
    pub offload_limit: Option<usize>,
    /// The time after which a shutdown reports the names of the tasks that have not ended.
    pub grace: Option<Duration>,
    /// The function that receives these names, all in one line. It may panic, which must do no harm.
    pub report: Option<Report>,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted")
            .field("async_limit", &self.async_limit)
            .field("concurrent_limit", &self.concurrent_limit)
            .field("executors", &self.executors)
            .field("offload_limit", &self.offload_limit)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
