//! How a [`Threaded`](crate::Threaded) is bounded.

use std::fmt;
use std::io;
use std::time::Duration;

use iolite_io::backend::Lookups;
pub use iolite_io::backend::Report;

/// How a [`Threaded`](crate::Threaded) is bounded. Start from the default:
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
    /// How many tasks of `spawn_async` have a worker at once; one beyond it runs inline. 0 runs all
    /// of them inline. By default one less than there are CPUs (of the cgroup's quota).
    pub async_limit: usize,
    /// How many tasks of `spawn_concurrent` and `spawn_waiting` there are at once; one beyond it is
    /// refused, or waits. Counted apart from `async_limit`. 1,024 by default.
    pub concurrent_limit: usize,
    /// The stack of each thread, in bytes, at least [`STACK_SIZE_MIN`](Self::STACK_SIZE_MIN). The
    /// system gives it memory as it is used. A task that asks for more
    /// ([`TaskBuilder::stack_size`](iolite_io::TaskBuilder::stack_size)) has a thread of its own.
    /// 1 MiB by default.
    pub stack_size: usize,
    /// A worker that was idle for so long ends. 10 seconds by default.
    pub idle_timeout: Duration,
    /// How many threads look host names up; more lookups wait. At least 1; 4 by default.
    pub lookup_limit: usize,
    /// How long a call waits for the addresses of a name, before it fails with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). Not zero; 30 seconds by default.
    pub lookup_timeout: Duration,
    /// Tasks that have not ended so long after shutdown began are named through `report`; shutdown
    /// goes on waiting for them. 5 seconds by default.
    pub grace: Duration,
    /// Where reports go, from the thread that shuts down. It must not suspend, and a panic of it is dropped. By
    /// default nowhere.
    pub report: Option<Report>,
}

impl Options {
    /// The smallest stack, in bytes: room for the runtime itself and a little program.
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

/// Prints like `threaded`'s backend detail: `async_limit 1, concurrent_limit 1024, stack 1 MiB`.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "async_limit {}, concurrent_limit {}, stack ", self.async_limit, self.concurrent_limit)?;
        match self.stack_size {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{} KiB", bytes >> 10),
        }
    }
}
