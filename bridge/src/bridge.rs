//! The handle of a bridge: what callers use.

use std::fmt;
use std::hash::Hash;
use std::io;

use iolite_io::Io;

use crate::{Builder, CallError, Metrics, PostError};

/// Bounded queues from any context to a pool of named threads that may block, each with a state of
/// its own. See the [crate's page](crate).
///
/// Dropping it lets the workers end when they have run what was accepted, and does not wait;
/// [`close`](Self::close) waits.
pub struct Bridge<S> {
    state: std::marker::PhantomData<fn(&mut S)>,
}

impl Bridge<()> {
    /// Sets up a bridge whose workers are named after `name`.
    pub fn builder(name: &str) -> Builder<()> {
        Builder::new(name)
    }
}

impl<S: 'static> Bridge<S> {
    pub(crate) fn start(io: &dyn Io, builder: Builder<S>) -> io::Result<Self> {
        let _ = (io, builder);
        todo!()
    }

    /// Runs `f` on some worker and waits for its result. `f` may borrow from the caller.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when nothing has to be waited for. A request that comes while the
    /// job is queued wins, and the job never runs; once it runs it is waited for, and the request
    /// stays pending.
    ///
    /// # Errors
    ///
    /// [`CallError`] says why there is no result.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](iolite_io::no_suspend).
    pub fn call<T: Send>(&self, io: &dyn Io, f: impl FnOnce(&mut S) -> T + Send) -> Result<T, CallError> {
        let _ = (io, f);
        todo!()
    }

    /// As [`call`](Self::call), on the worker of `key`: jobs of one key run in the order in which
    /// they were accepted.
    ///
    /// # Cancellation
    ///
    /// As `call`.
    ///
    /// # Errors
    ///
    /// As `call`.
    ///
    /// # Panics
    ///
    /// As `call`.
    pub fn call_keyed<T: Send>(
        &self,
        io: &dyn Io,
        key: impl Hash,
        f: impl FnOnce(&mut S) -> T + Send,
    ) -> Result<T, CallError> {
        let _ = (io, key, f);
        todo!()
    }

    /// Lets `f` run on some worker, without its result. Waits only for room in the queue.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when there is room. An accepted job runs.
    ///
    /// # Errors
    ///
    /// The closure, and why it was not accepted.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](iolite_io::no_suspend).
    pub fn post<F>(&self, io: &dyn Io, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let _ = (io, f);
        todo!()
    }

    /// As [`post`](Self::post), on the worker of `key`: jobs of one key run in the order in which
    /// they were accepted.
    ///
    /// # Cancellation
    ///
    /// As `post`.
    ///
    /// # Errors
    ///
    /// As `post`.
    ///
    /// # Panics
    ///
    /// As `post`.
    pub fn post_keyed<F>(&self, io: &dyn Io, key: impl Hash, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let _ = (io, key, f);
        todo!()
    }

    /// As [`post`](Self::post) where there is room. Never suspends.
    ///
    /// # Errors
    ///
    /// As `post`, or that the queue is full.
    pub fn try_post<F>(&self, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let _ = f;
        todo!()
    }

    /// As [`try_post`](Self::try_post), on the worker of `key`.
    ///
    /// # Errors
    ///
    /// As `try_post`.
    pub fn try_post_keyed<F>(&self, key: impl Hash, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let _ = (key, f);
        todo!()
    }

    /// Accepts no more jobs, runs those that were accepted, and waits until the workers have ended
    /// and dropped their states.
    ///
    /// # Cancellation
    ///
    /// Not ended by a request: jobs that were accepted run, and the caller's next cancellation
    /// point returns it.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](iolite_io::no_suspend), and when a job calls it.
    pub fn close(&self, io: &dyn Io) {
        let _ = io;
        todo!()
    }

    /// Accepts no more jobs and does not wait: as [`close`](Self::close) begins.
    pub fn request_close(&self) {
        todo!()
    }

    /// What the bridge has done so far.
    pub fn metrics(&self) -> Metrics {
        todo!()
    }

    /// The name of the bridge.
    pub fn name(&self) -> &str {
        todo!()
    }
}

impl<S> fmt::Debug for Bridge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").finish_non_exhaustive()
    }
}
