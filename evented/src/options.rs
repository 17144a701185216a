//! The limits of an evented backend.

use std::fmt;
use std::io;
use std::time::Duration;

use iolite_io::backend::{Lookups, Report, TaskOptions};

/// The resources that an [`Evented`](crate::Evented) may use.
#[derive(Clone)]
pub struct Options {
    /// The number of threads that run fibers, each with a ring of its own. Default: the number of CPUs that are
    /// available, limited by the cgroup quota.
    pub executors: usize,
    /// The number of `spawn_async` tasks that may be alive; further ones run inline. Default: 10,000.
    pub async_limit: usize,
    /// The number of `spawn_concurrent` and `spawn_waiting` tasks that may be alive; beyond it, the former are refused
    /// and the latter wait. Default: 100,000.
    pub concurrent_limit: usize,
    /// The size of a fiber's stack in bytes, in the range [`TaskOptions::STACK_BYTES`]. It is reserved, not committed.
    /// A task may ask for another size ([`TaskBuilder::stack_size`](iolite_io::TaskBuilder::stack_size)). Default: 256
    /// KiB.
    pub stack_size: usize,
    /// The size of the main task's stack in bytes, in the same range. Default: 8 MiB.
    pub main_stack_size: usize,
    /// The maximum number of threads that run closures of [`offload`](iolite_io::Io#method.offload) for fibers; further
    /// closures wait. At least 1. Default: 64.
    pub offload_limit: usize,
    /// The maximum number of threads that look up host names; further lookups wait. At least 1. Default: 4.
    pub lookup_limit: usize,
    /// The time that a call waits for the addresses of a name before it fails with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). Must not be zero. Default: 30 s.
    pub lookup_timeout: Duration,
    /// The time that tasks may take to end after the shutdown has begun, before `report` receives their names. Default:
    /// 5 s.
    pub grace: Duration,
    /// The function that receives reports; the library itself never prints. It must not suspend, and a panic of it is
    /// dropped. Default: none.
    pub report: Option<Report>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            executors: num_cpus::get(),
            async_limit: 10_000,
            concurrent_limit: 100_000,
            stack_size: 256 * 1024,
            main_stack_size: 8 * 1024 * 1024,
            offload_limit: 64,
            lookup_limit: Lookups::LIMIT_DEFAULT,
            lookup_timeout: Lookups::TIMEOUT_DEFAULT,
            grace: Duration::from_secs(5),
            report: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("executors", &self.executors)
            .field("async_limit", &self.async_limit)
            .field("concurrent_limit", &self.concurrent_limit)
            .field("stack_size", &self.stack_size)
            .field("main_stack_size", &self.main_stack_size)
            .field("offload_limit", &self.offload_limit)
            .field("lookup_limit", &self.lookup_limit)
            .field("lookup_timeout", &self.lookup_timeout)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(crate) fn check(&self) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if self.executors == 0 {
            return invalid("executors = 0: at least one thread has to run fibers".into());
        }
        if self.offload_limit == 0 {
            return invalid("offload_limit = 0: at least one thread has to run what blocks".into());
        }
        if self.lookup_limit == 0 {
            return invalid("lookup_limit = 0: at least one thread has to look names up".into());
        }
        if self.lookup_timeout.is_zero() {
            return invalid("lookup_timeout = 0: no name would ever be found".into());
        }
        for (name, bytes) in [("stack_size", self.stack_size), ("main_stack_size", self.main_stack_size)] {
            if !TaskOptions::STACK_BYTES.contains(&bytes) {
                let (min, max) = (TaskOptions::STACK_BYTES.start(), TaskOptions::STACK_BYTES.end());
                return invalid(format!("{name} = {bytes}: the stack of a fiber has {min} to {max} bytes"));
            }
        }
        Ok(())
    }
}
