//! What is tested.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::Io;
use iolite_io::backend::Report;

/// A backend, or a decorator around one, that proves itself.
pub trait FileTarget: Send + Sync {
    /// What cases that ran on it are named after: the name of its backend ([`iolite_io::Backend::name`]), and whatever
    /// tells it from the other subjects of the run.
    fn name(&self) -> &str;

    /// The backend that it is, or is around: what `IOLITE_TEST_REQUIRE` calls it. By default its own name.
    fn backend(&self) -> &str {
        self.name()
    }

    /// Makes a runtime as it is wanted. It lives until [`Running::shutdown`], and others live beside it.
    ///
    /// # Errors
    ///
    /// When there can be none on this machine, or not as it is wanted: no case asks for more than [`Wanted`] says that
    /// a backend has to have.
    fn start(&self, wanted: &Wanted) -> io::Result<Running>;

    /// Runs `main` in the way in which a program would run its main function: as a task, on the calling thread.
    ///
    /// By default on the calling thread, and in no task.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start); `main` has not been called.
    ///
    /// # Panics
    ///
    /// When `main` does, after the runtime has ended.
    fn main(&self, wanted: &Wanted, main: Main<'_>) -> io::Result<()> {
        let runtime = self.start(wanted)?;
        // Dropped by a panic, and shut down by that.
        main(runtime.io());
        runtime.shutdown();
        Ok(())
    }

    /// Whether each of its tasks has a thread for itself while it runs.
    ///
    /// Such a backend is given smaller crowds (200 tasks, and not 3,000), and may run what is offloaded right there.
    fn tasks_are_threads(&self) -> bool;
}

/// The main function of a program.
pub type Main<'a> = Box<dyn FnOnce(&dyn Io) + 'a>;

/// A runtime that a [`FileTarget`] has made. Its drop ends it, too.
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
    /// The runtime of which `io` is the `Io` that is tested, and which `end` ends: it tears the tasks down and waits
    /// until they have ended. So does the drop of `end`, which owns the runtime.
    pub fn new(io: Arc<dyn Io>, end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { io, end: Box::new(end) }
    }

    /// The `Io` that is tested.
    #[must_use]
    pub fn io(&self) -> &dyn Io {
        &*self.io
    }

    /// The same, for who keeps it longer.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Io> {
        self.io.clone()
    }

    /// Ends the runtime.
    pub fn shutdown(self) {
        (self.end)();
    }
}

/// What a case wants of a runtime; the backend's own defaults where it says nothing.
///
/// Every backend has limits on its tasks and a grace. What it has no use for, executors or a pool for what is
/// offloaded, it ignores.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Wanted {
    /// How many tasks of `spawn_async` run beside their spawners; more of them run inline.
    pub async_limit: Option<usize>,
    /// How many tasks of `spawn_concurrent` there are at once; more are refused. Unless a case says otherwise there
    /// must be room for some hundreds, and for thousands where tasks are no threads.
    pub concurrent_limit: Option<usize>,
    /// On how many threads tasks run that have none for themselves.
    pub executors: Option<usize>,
    /// How many threads run what such tasks offload.
    pub offload_limit: Option<usize>,
    /// After how long a shutdown names the tasks that have not ended.
    pub grace: Option<Duration>,
    /// Where it names them, all in one line. It may panic, which harms nobody.
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
