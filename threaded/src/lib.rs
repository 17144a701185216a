//! The bounded-thread backend of iolite.
//!
//! A [`Threaded`] runs tasks on a bounded pool of operating-system threads and performs operations
//! with blocking system calls on the thread that asks, in most cases with one. Every one of them can be
//! canceled while it blocks: a request interrupts it with a signal, which is repeated until the thread has
//! acknowledged it, so that none is lost. It comes only during such a call, so that no other code sees it.
//!
//! What the kernel does not interrupt makes a cancellation wait: calls on regular files and directories,
//! `fsync` among them.
//!
//! Name lookups run on a small pool of their own; a canceled one goes on there unobserved.
//!
//! From a fiber of another backend the same calls work: the operation is performed on a worker,
//! counted against `concurrent_limit`, while the fiber waits and its executor goes on.

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

/// A bounded pool of threads that is an [`Io`]. The owner: where it ends, its tasks end.
///
/// # Shutdown
///
/// [`shutdown`](Self::shutdown), the end of [`run`](Self::run) and dropping are the same: every
/// live task is canceled for good, and waited for. One that does not end within
/// [`grace`](Options::grace) is named through [`report`](Options::report). In a task of this very
/// `Threaded`, which cannot be waited for, it only begins, and says so through `report`; its threads
/// end by themselves.
#[derive(Debug)]
pub struct Threaded {
    runtime: Arc<Runtime>,
}

impl Threaded {
    /// Makes the pool. Threads are started when they are needed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for options that cannot be; the error names the option.
    pub fn new(options: Options) -> io::Result<Self> {
        options.check()?;
        Ok(Self { runtime: Runtime::new(options) })
    }

    /// The `Io`.
    pub fn io(&self) -> &dyn Io {
        &*self.runtime
    }

    /// The `Io`, to be kept. It does not keep the pool alive: after shutdown, calls on it return
    /// [`ShutDown`](iolite_io::error::ShutDown).
    pub fn handle(&self) -> Arc<dyn Io> {
        self.runtime.clone()
    }

    /// Runs `main` on the calling thread, outside of every task, then shuts down.
    ///
    /// # Cancellation
    ///
    /// As [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    ///
    /// Resumes the panic of `main`, after all tasks have ended.
    pub fn run<T>(self, main: impl FnOnce(&dyn Io) -> T) -> T {
        let outcome = catch_unwind(AssertUnwindSafe(|| main(self.io())));
        self.shutdown();
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Cancels every live task, for good, and waits for all of them to end.
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
