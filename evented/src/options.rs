//! How an evented backend is bounded.

use std::fmt;
use std::io;
use std::time::Duration;

use iolite_io::backend::{Lookups, Report, TaskOptions};

/// What an [`Evented`](crate::Evented) may use.
#[derive(Clone)]
pub struct Options {
    /// How many threads run fibers, each with a ring of its own. Default: the CPUs available,
    /// cgroup quota respected.
    pub executors: usize,
    /// How many tasks of `spawn_async` may be alive before further ones run inline. Default:
    /// 10,000.
    pub async_limit: usize,
    /// How many tasks of `spawn_concurrent` and `spawn_waiting` may be alive before further ones
    /// are refused, or wait. Default: 100,000.
    pub concurrent_limit: usize,
    /// The stack of a fiber in bytes, reserved, not committed, in
    /// [`TaskOptions::STACK_BYTES`]; a task may ask for another
    /// ([`TaskBuilder::stack_size`](iolite_io::TaskBuilder::stack_size)). Default: 256 KiB.
    pub stack_size: usize,
    /// The stack of the main task in bytes, as above. Default: 8 MiB.
    pub main_stack_size: usize,
    /// How many threads run closures of [`offload`](iolite_io::Io#method.offload) for fibers; more wait. At least 1.
    /// Default: 64.
    pub offload_limit: usize,
    /// How many threads look host names up; more lookups wait. At least 1. Default: 4.
    pub lookup_limit: usize,
    /// How long a call waits for the addresses of a name, before it fails with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). Not zero. Default: 30 s.
    pub lookup_timeout: Duration,
    /// How long the tasks that live at shutdown may take to end before `report` names them.
    /// Default: 5 s.
    pub grace: Duration,
    /// Where such reports go; the library itself never prints. It must not suspend, and a panic of it is dropped.
    /// Default: nowhere.
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
