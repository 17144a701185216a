//! Setting up a bridge.

use std::fmt;
use std::io;

use iolite_io::backend::Report;
use iolite_io::{ErrorChain, Io, error::IntoError};

use crate::bridge::Bridge;
use crate::hooks::Hooks;
use crate::panics;
use crate::queue::CAPACITY_MAX;
use crate::shared::Shared;
use crate::wake::WORKERS_MAX;

/// Sets up a [`Bridge`]; made by [`Bridge::builder`].
pub struct Builder<S> {
    name: String,
    workers: usize,
    queue_capacity: usize,
    run_max: usize,
    hooks: Hooks<S>,
}

/// The result of a hook around a run: `()`, or a `Result` that says whether the hook has succeeded. `Via` is always
/// inferred.
pub trait HookResult<Via>: sealed::IntoResult<Via> {}

impl<R: sealed::IntoResult<Via>, Via> HookResult<Via> for R {}

mod sealed {
    use iolite_io::error::IntoError;

    use super::text_of;

    pub trait IntoResult<Via> {
        fn into_result(self) -> Result<(), String>;
    }

    impl IntoResult<()> for () {
        fn into_result(self) -> Result<(), String> {
            Ok(())
        }
    }

    impl<E: IntoError<Via>, Via> IntoResult<Via> for Result<(), E> {
        fn into_result(self) -> Result<(), String> {
            self.map_err(text_of)
        }
    }
}

/// Returns the text of an error of the program with all its sources.
fn text_of<Via>(error: impl IntoError<Via>) -> String {
    ErrorChain::new(&*error.into_error()).to_string()
}

impl Bridge<()> {
    /// Sets up a bridge with workers that are named after `name`.
    pub fn builder(name: &str) -> Builder<()> {
        let hooks = Hooks { make: Box::new(|_| Ok(())), before_run: None, after_run: None, report: None };
        Builder { name: name.into(), workers: 4, queue_capacity: 1024, run_max: 256, hooks }
    }
}

impl<S: 'static> Builder<S> {
    /// Sets the number of worker threads, from 1 to 64. Default: 4.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Sets the capacity of each queue: of the shared queue, and of each worker's queue for keyed jobs. Default: 1,024
    /// jobs. A canceled job counts until a worker has passed it.
    #[must_use]
    pub fn queue_capacity(mut self, jobs: usize) -> Self {
        self.queue_capacity = jobs;
        self
    }

    /// Sets how many jobs a worker takes at most between `before_run` and `after_run`. Default: 256.
    #[must_use]
    pub fn run_max(mut self, jobs: usize) -> Self {
        self.run_max = jobs;
        self
    }

    /// Sets the function that makes the state of a worker. Without it, the state is `()`.
    ///
    /// The function is called on the worker's own thread, so the state need not be `Send`. It is called once per worker
    /// at the start, and again after a panic of a job, when the next job comes. If it fails then, jobs are refused with
    /// [`CallError::State`](crate::CallError::State), which has the error of `make` and its sources in one text. The
    /// worker tries again when jobs come, with back-off (10 ms, doubling to 1 s).
    ///
    /// Call this before setting the hooks that take the state: it discards hooks that were set earlier.
    #[must_use]
    pub fn state<T: 'static, E: IntoError<Via>, Via>(
        self,
        make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Builder<T> {
        self.state_with(move |_| make())
    }

    /// Sets the function that makes the state, as [`state`](Self::state) does. The function is given the number of the
    /// worker, from 0, for instance to open a file, a connection or a part of the data for each worker. The number is
    /// the one in the name of the worker's thread, and stays the same when the state is made again.
    ///
    /// ```
    /// # fn demo(io: &dyn iolite_io::Io) -> std::io::Result<()> {
    /// let logs = iolite_bridge::Bridge::builder("log")
    ///     .workers(2)
    ///     .state_with(|worker| std::fs::File::create(format!("part-{worker}.log")))
    ///     .start(io)?;
    /// # logs.close(io);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn state_with<T: 'static, E: IntoError<Via>, Via>(
        self,
        make: impl Fn(usize) -> Result<T, E> + Send + Sync + 'static,
    ) -> Builder<T> {
        let Self { name, workers, queue_capacity, run_max, hooks } = self;
        // The error also belongs to the program: its `Display` may panic, and its destructor too.
        let make = Box::new(move |worker| {
            panics::caught(|| make(worker).map_err(text_of))
                .unwrap_or_else(|message| Err(format!("making it panicked: {message}")))
        });
        let hooks = Hooks { make, before_run: None, after_run: None, report: hooks.report };
        Builder { name, workers, queue_capacity, run_max, hooks }
    }

    /// Sets a hook that is called before the first job of each run, for instance to begin a transaction.
    ///
    /// The hook returns nothing, or a `Result`. An error is [reported](Self::report) and discards the state, as a panic
    /// does: the jobs of the run are refused with [`CallError::State`](crate::CallError::State).
    #[must_use]
    pub fn before_run<R: HookResult<Via>, Via>(mut self, hook: impl Fn(&mut S) -> R + Send + Sync + 'static) -> Self {
        self.hooks.before_run = Some(Box::new(move |state| hook(state).into_result()));
        self
    }

    /// Sets a hook that is called after the last job of each run, for instance to commit a transaction.
    ///
    /// Callers of [`Bridge::call`] have their results by then; callers of [`Bridge::call_committed`] wait for this
    /// hook. It returns nothing, or a `Result`, whose error those callers get as
    /// [`CallError::NotCommitted`](crate::CallError::NotCommitted); the error is also [reported](Self::report). After
    /// an error the next run uses the same state, so the hook has to leave the state usable, for instance rolled back.
    /// A panic discards the state. If a job panics, its run ends without a call of this hook, and the state is dropped.
    #[must_use]
    pub fn after_run<R: HookResult<Via>, Via>(mut self, hook: impl Fn(&mut S) -> R + Send + Sync + 'static) -> Self {
        self.hooks.after_run = Some(Box::new(move |state| hook(state).into_result()));
        self
    }

    /// Sets the function that receives reports that have no caller, in one line each: a posted job or a hook has
    /// panicked, a hook has failed, or a posted job was refused. It is called on the workers' threads. It must not
    /// suspend, and a panic of it is dropped.
    #[must_use]
    pub fn report(mut self, report: Report) -> Self {
        self.hooks.report = Some(report);
        self
    }

    /// Starts the workers, on threads named `name-0`, `name-1` and so on that `io` supplies
    /// ([`spawn_thread`](iolite_io::Io#method.spawn_thread)), and waits until each worker has its state.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. If the call is canceled, workers that have started end by themselves.
    ///
    /// # Errors
    ///
    /// Fails if a number is out of range, a thread cannot be started, or a state cannot be made. The error names the
    /// bridge and the cause. Workers that had started have ended by then.
    pub fn start(self, io: &dyn Io) -> io::Result<Bridge<S>> {
        self.check()?;
        let Self { name, workers, queue_capacity, run_max, hooks } = self;
        Bridge::start(io, Shared::new(name, workers, queue_capacity, run_max, hooks))
    }

    fn check(&self) -> io::Result<()> {
        let name = &self.name;
        for (what, value, max) in [
            ("workers", self.workers, WORKERS_MAX),
            ("queue_capacity", self.queue_capacity, CAPACITY_MAX),
            ("run_max", self.run_max, usize::MAX),
        ] {
            if !(1..=max).contains(&value) {
                let text = format!("bridge {name}: {what} = {value} is not between 1 and {max}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        Ok(())
    }
}

impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).field("workers", &self.workers).finish_non_exhaustive()
    }
}
