//! The argument of a case.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use iolite_io::Io;

use crate::record::note;
use crate::tools::{Watchdog, concurrently, scope};
use crate::{Running, Subject, Wanted};

/// A subject on which a case runs, with the options that the case requests of it.
#[derive(Clone)]
pub struct On {
    subject: Arc<dyn Subject>,
    wanted: Wanted,
    /// Shared by all values that a case makes from the one that it was given.
    obstacle: Arc<OnceLock<String>>,
}

impl fmt::Debug for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("On")
            .field("subject", &self.subject.name())
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl On {
    /// Makes it from a subject with its defaults.
    #[must_use]
    pub fn new(subject: Arc<dyn Subject>) -> Self {
        Self { subject, wanted: Wanted::default(), obstacle: Arc::default() }
    }

    /// Returns the same subject with another option.
    fn wanting(&self, change: impl FnOnce(&mut Wanted)) -> Self {
        let mut on = self.clone();
        change(&mut on.wanted);
        on
    }

    /// Sets [`Wanted::async_limit`].
    #[must_use]
    pub fn async_limit(&self, limit: usize) -> Self {
        self.wanting(|wanted| wanted.async_limit = Some(limit))
    }

    /// Sets [`Wanted::concurrent_limit`].
    #[must_use]
    pub fn concurrent_limit(&self, limit: usize) -> Self {
        self.wanting(|wanted| wanted.concurrent_limit = Some(limit))
    }

    /// Sets [`Wanted::executors`].
    #[must_use]
    pub fn executors(&self, executors: usize) -> Self {
        self.wanting(|wanted| wanted.executors = Some(executors))
    }

    /// Sets [`Wanted::offload_limit`].
    #[must_use]
    pub fn offload_limit(&self, threads: usize) -> Self {
        self.wanting(|wanted| wanted.offload_limit = Some(threads))
    }

    /// Sets [`Wanted::grace`] and [`Wanted::report`].
    #[must_use]
    pub fn grace(&self, grace: Duration, report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.wanting(|wanted| {
            wanted.grace = Some(grace);
            wanted.report = Some(Arc::new(report));
        })
    }

    /// Returns [`Subject::name`].
    #[must_use]
    pub fn name(&self) -> &str {
        self.subject.name()
    }

    /// Returns [`Subject::tasks_are_threads`].
    #[must_use]
    pub fn tasks_are_threads(&self) -> bool {
        self.subject.tasks_are_threads()
    }

    /// Returns the number of tasks of a crowd: more than the queues of a kernel hold, or, if tasks are threads, a
    /// reasonable number of threads.
    #[must_use]
    pub fn crowd(&self) -> usize {
        if self.tasks_are_threads() { 200 } else { 3_000 }
    }

    /// Notes that the case, which returns now, could not run, and why. It is reported, and counts as not run.
    pub fn not_run(&self, why: impl Into<String>) {
        let why = why.into();
        note(format_args!("NOT RUN on {}: {why}", self.name()));
        // If there are two reasons, the first one stays.
        let _ = self.obstacle.set(why);
    }

    /// Returns the reason why the case could not run.
    pub(crate) fn obstacle(&self) -> Option<&str> {
        self.obstacle.get().map(String::as_str)
    }

    /// Runs the case twice: on a plain thread that uses the runtime's `Io`, and in a task of it.
    pub fn run(&self, case: impl Fn(&dyn Io) + Sync) {
        self.on_thread(&case);
        self.in_task(&case);
    }

    /// Runs the case on the calling thread, which does not belong to the runtime.
    pub fn on_thread(&self, case: impl FnOnce(&dyn Io)) {
        let _watchdog = Watchdog::start();
        let runtime = self.start();
        case(runtime.io());
        runtime.shutdown();
    }

    /// Runs the case in a task.
    pub fn in_task(&self, case: impl FnOnce(&dyn Io) + Send) {
        let _watchdog = Watchdog::start();
        let runtime = self.start();
        let io = runtime.io();
        scope(io, |group| concurrently(group, case).join(io));
        runtime.shutdown();
    }

    /// Runs the case as the main function of a program, with [`Subject::main`].
    ///
    /// # Panics
    ///
    /// If the subject cannot be started.
    pub fn main<T>(&self, main: impl FnOnce(&dyn Io) -> T) -> T {
        let mut value = None;
        self.started(self.subject.main(&self.wanted, Box::new(|io| value = Some(main(io)))));
        value.expect("`Subject::main` runs what it was given")
    }

    /// Makes a runtime, for cases that end it themselves.
    ///
    /// # Panics
    ///
    /// If the subject cannot be started.
    #[must_use]
    pub fn start(&self) -> Running {
        self.started(self.subject.start(&self.wanted))
    }

    fn started<T>(&self, result: io::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{} cannot be started with {:?}: {error}", self.name(), self.wanted))
    }
}
