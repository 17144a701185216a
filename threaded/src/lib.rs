//! The bounded-thread backend of iolite.
//!
//! A [`Threaded`] runs tasks on a bounded pool of operating-system threads. It performs operations with blocking system
//! calls on the thread that asks, in most cases with a single call. Every call can be canceled while it blocks: a
//! request interrupts it with a signal, which is repeated until the thread has acknowledged it, so that none is lost.
//! The signal arrives only during such a call, so no other code sees it.
//!
//! The kernel does not interrupt calls on regular files and directories, `fsync` among them; a cancellation waits until
//! they have ended.
//!
//! Name lookups run on a small pool of their own. A canceled lookup continues there, and its result is ignored.
//!
//! From a fiber of another backend the same calls work: a worker performs the operation and counts against
//! `concurrent_limit`, while the fiber waits and its executor continues.

#![warn(missing_debug_implementations, missing_docs)]

mod options;
mod runtime;

mod pool;
mod queue;
mod worker;

mod dispatch;
mod fiber;
mod operate;

#[cfg(test)]
mod test;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use iolite_io::Io;

pub use options::{Options, Report};
use runtime::Runtime;

/// A bounded pool of threads that is an [`Io`]. This value owns the pool: its tasks end with it.
///
/// # Shutdown
///
/// [`shutdown`](Self::shutdown), the end of [`run`](Self::run) and dropping have the same effect: every live task is
/// torn down, so that each of its cancellation points returns `Canceled`, and is waited for.
/// [`report`](Options::report) receives the names of tasks that do not end within [`grace`](Options::grace). In a task
/// of this very `Threaded`, which cannot wait for itself, the shutdown only begins, and `report` says so; the threads
/// end by themselves.
#[derive(Debug)]
pub struct Threaded {
    runtime: Arc<Runtime>,
}

impl Threaded {
    /// Makes the pool. It starts threads when they are needed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for invalid options; the error names the option.
    pub fn new(options: Options) -> io::Result<Self> {
        options.check()?;
        Ok(Self { runtime: Runtime::new(options) })
    }

    /// Returns the `Io` of this pool.
    pub fn io(&self) -> &dyn Io {
        &*self.runtime
    }

    /// Returns an owned handle to the `Io` of this pool. It does not keep the pool alive: after the shutdown, its calls
    /// return [`ShutDown`](iolite_io::error::ShutDown).
    pub fn handle(&self) -> Arc<dyn Io> {
        self.runtime.clone()
    }

    /// Runs `main` on the calling thread, outside of every task, then shuts down.
    ///
    /// # Cancellation
    ///
    /// The same as for [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    ///
    /// Resumes the panic of `main`, after all tasks have ended.
    pub fn run<T>(self, main: impl FnOnce(&dyn Io) -> T) -> T {
        let outcome = catch_unwind(AssertUnwindSafe(|| main(self.io())));
        self.shutdown();
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Tears down every live task and waits until all of them have ended.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn shutdown(self) {}
}

impl Drop for Threaded {
    fn drop(&mut self) {
        self.runtime.shutdown();
    }
}
