//! The limits of a [`Threaded`](crate::Threaded).

use std::fmt;
use std::io;
use std::time::Duration;

use iolite_io::backend::Lookups;
pub use iolite_io::backend::Report;

/// The limits of a [`Threaded`](crate::Threaded). Start from the default:
///
/// ```
/// use iolite_threaded::{Options, Threaded};
///
/// let options = Options { concurrent_limit: 64, ..Options::default() };
/// let sum = Threaded::new(options)?.run(|io| {
///     let half = io.spawn_concurrent(|_| 20 + 1)?;
///     Ok::<_, std::io::Error>(half.join(io) * 2)
/// })?;
/// assert_eq!(sum, 42);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    /// The number of `spawn_async` tasks that may have a worker at once; further ones run inline. With 0, all of them
    /// run inline. Default: one less than the number of CPUs (limited by the cgroup quota).
    pub async_limit: usize,
    /// The number of `spawn_concurrent` and `spawn_waiting` tasks that may exist at once; beyond it, the former are
    /// refused and the latter wait. It is independent of `async_limit`. Default: 1,024.
    pub concurrent_limit: usize,
    /// The size of each thread's stack in bytes, at least [`STACK_SIZE_MIN`](Self::STACK_SIZE_MIN). The system commits
    /// the memory as it is used. A task that asks for more
    /// ([`TaskBuilder::stack_size`](iolite_io::TaskBuilder::stack_size)) has a thread of its own. Default: 1 MiB.
    pub stack_size: usize,
    /// The time after which an idle worker ends. Default: 10 seconds.
    pub idle_timeout: Duration,
    /// The maximum number of threads that look up host names; further lookups wait. At least 1. Default: 4.
    pub lookup_limit: usize,
    /// The time that a call waits for the addresses of a name before it fails with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). Must not be zero. Default: 30 seconds.
    pub lookup_timeout: Duration,
    /// The time that tasks may take to end after the shutdown has begun, before `report` receives their names; the
    /// shutdown continues to wait for them. Default: 5 seconds.
    pub grace: Duration,
    /// The function that receives reports, on the thread that shuts down. It must not suspend, and a panic of it is
    /// dropped. Default: none.
    pub report: Option<Report>,
}

impl Options {
    /// The smallest stack in bytes: enough for the runtime itself and a small program.
    pub const STACK_SIZE_MIN: usize = 64 << 10;

    pub(crate) fn check(&self) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if self.stack_size < Self::STACK_SIZE_MIN {
            return invalid(format!(
                "stack_size = {} is too small: a thread needs at least {} bytes",
                self.stack_size,
                Self::STACK_SIZE_MIN
            ));
        }
        if self.lookup_limit == 0 {
            return invalid("lookup_limit = 0: at least one thread has to look names up".into());
        }
        if self.lookup_timeout.is_zero() {
            return invalid("lookup_timeout = 0: no name would ever be found".into());
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            async_limit: num_cpus::get().saturating_sub(1),
            concurrent_limit: 1024,
            stack_size: 1 << 20,
            idle_timeout: Duration::from_secs(10),
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
            .field("async_limit", &self.async_limit)
            .field("concurrent_limit", &self.concurrent_limit)
            .field("stack_size", &self.stack_size)
            .field("idle_timeout", &self.idle_timeout)
            .field("lookup_limit", &self.lookup_limit)
            .field("lookup_timeout", &self.lookup_timeout)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// Prints the limits as the backend's detail shows them: `async_limit 1, concurrent_limit 1024, stack 1 MiB`.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "async_limit {}, concurrent_limit {}, stack ", self.async_limit, self.concurrent_limit)?;
        match self.stack_size {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{} KiB", bytes >> 10),
        }
    }
}
