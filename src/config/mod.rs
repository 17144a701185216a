//! What a program may choose about its backend: in code, from the environment, from TOML.

mod choice;
mod env;
mod key;
mod spelling;
#[cfg(feature = "config")]
mod toml;
mod value;

pub use choice::BackendChoice;

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::backend::Report;

/// Which backend runs the program, and how it is bounded.
///
/// Every setting is optional; `None` is the backend's default. The same settings have the same
/// names in code, in TOML (`stack_size = "256KiB"`) and, in capitals after `IOLITE_`, in the
/// environment (`IOLITE_STACK_SIZE=256KiB`).
///
/// ```
/// use iolite::{BackendChoice, Config};
///
/// let file = Config::new().backend(BackendChoice::Evented).concurrent_limit(10_000);
/// let environment = Config::from_vars([("IOLITE_BACKEND", "threaded")])?;
/// let config = file.overridden_by(environment);
/// assert_eq!(config.backend, Some(BackendChoice::Threaded));
/// assert_eq!(config.concurrent_limit, Some(10_000));
/// # Ok::<(), iolite::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// The backend. Default: [`BackendChoice::Auto`].
    pub backend: Option<BackendChoice>,
    /// How many tasks of `spawn_async` run beside their callers; more run inline. 0 is legal: all
    /// run inline.
    pub async_limit: Option<usize>,
    /// How many tasks of `spawn_concurrent` and `spawn_waiting` exist at once; more are refused, or
    /// wait. 0 is legal: there are none.
    pub concurrent_limit: Option<usize>,
    /// The stack of a task in bytes, up to 1 GiB; at least 32 KiB on `evented`, and 64 KiB where
    /// the task may have a thread.
    pub stack_size: Option<usize>,
    /// The stack of the main task in bytes, from 32 KiB to 1 GiB. Only `evented` runs it on one of
    /// its own.
    pub main_stack_size: Option<usize>,
    /// How many threads run fibers, from 1 to 1,024. Only `evented` has executors.
    pub executors: Option<usize>,
    /// How many threads run what fibers `offload`, from 1 to 1,024. Only `evented` has such threads.
    pub offload_limit: Option<usize>,
    /// How many threads look host names up, from 1 to 1,024; more lookups wait.
    pub lookup_limit: Option<usize>,
    /// How long a call waits for the addresses of a name. Not zero.
    pub lookup_timeout: Option<Duration>,
    /// How long a thread without work stays. Only `threaded` has such threads.
    pub idle_timeout: Option<Duration>,
    /// How long shutdown waits before it names the tasks that have not ended; it then goes on
    /// waiting.
    pub shutdown_grace: Option<Duration>,
    notice: Option<Notice>,
    /// Variables of the environment that look like settings and are none.
    ignored: Vec<String>,
}

impl Config {
    /// A configuration in which everything is the default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`backend`](Self#structfield.backend).
    #[must_use]
    pub fn backend(self, backend: BackendChoice) -> Self {
        Self { backend: Some(backend), ..self }
    }

    /// Sets [`async_limit`](Self#structfield.async_limit).
    #[must_use]
    pub fn async_limit(self, tasks: usize) -> Self {
        Self { async_limit: Some(tasks), ..self }
    }

    /// Sets [`concurrent_limit`](Self#structfield.concurrent_limit).
    #[must_use]
    pub fn concurrent_limit(self, tasks: usize) -> Self {
        Self { concurrent_limit: Some(tasks), ..self }
    }

    /// Sets [`stack_size`](Self#structfield.stack_size).
    #[must_use]
    pub fn stack_size(self, bytes: usize) -> Self {
        Self { stack_size: Some(bytes), ..self }
    }

    /// Sets [`main_stack_size`](Self#structfield.main_stack_size).
    #[must_use]
    pub fn main_stack_size(self, bytes: usize) -> Self {
        Self { main_stack_size: Some(bytes), ..self }
    }

    /// Sets [`executors`](Self#structfield.executors).
    #[must_use]
    pub fn executors(self, threads: usize) -> Self {
        Self { executors: Some(threads), ..self }
    }

    /// Sets [`offload_limit`](Self#structfield.offload_limit).
    #[must_use]
    pub fn offload_limit(self, threads: usize) -> Self {
        Self { offload_limit: Some(threads), ..self }
    }

    /// Sets [`lookup_limit`](Self#structfield.lookup_limit).
    #[must_use]
    pub fn lookup_limit(self, threads: usize) -> Self {
        Self { lookup_limit: Some(threads), ..self }
    }

    /// Sets [`lookup_timeout`](Self#structfield.lookup_timeout).
    #[must_use]
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        Self { lookup_timeout: Some(timeout), ..self }
    }

    /// Sets [`idle_timeout`](Self#structfield.idle_timeout).
    #[must_use]
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: Some(timeout), ..self }
    }

    /// Sets [`shutdown_grace`](Self#structfield.shutdown_grace).
    #[must_use]
    pub fn shutdown_grace(self, grace: Duration) -> Self {
        Self { shutdown_grace: Some(grace), ..self }
    }

    /// Sets who is told what the user of the program should know, a line at a time: that `auto`
    /// fell back, that shutdown waits for a task, that a variable was ignored. Default: a line on stderr.
    ///
    /// It may be called from any thread of the backend and must not block for long.
    #[must_use]
    pub fn notice(self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { notice: Some(Notice(Arc::new(notice))), ..self }
    }

    /// This configuration, with what `other` sets in place of its own.
    #[must_use]
    pub fn overridden_by(mut self, other: Config) -> Self {
        self.ignored.extend(other.ignored);
        Self {
            backend: other.backend.or(self.backend),
            async_limit: other.async_limit.or(self.async_limit),
            concurrent_limit: other.concurrent_limit.or(self.concurrent_limit),
            stack_size: other.stack_size.or(self.stack_size),
            main_stack_size: other.main_stack_size.or(self.main_stack_size),
            executors: other.executors.or(self.executors),
            offload_limit: other.offload_limit.or(self.offload_limit),
            lookup_limit: other.lookup_limit.or(self.lookup_limit),
            lookup_timeout: other.lookup_timeout.or(self.lookup_timeout),
            idle_timeout: other.idle_timeout.or(self.idle_timeout),
            shutdown_grace: other.shutdown_grace.or(self.shutdown_grace),
            notice: other.notice.or(self.notice),
            ignored: self.ignored,
        }
    }

    /// Says whether [`run`](crate::run) would accept the values and their combination.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line that names the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let whole = self.clone().backend(self.backend.unwrap_or_default());
        whole.find_fault().map_or(Ok(()), |fault| Err(fault.into()))
    }

    pub(crate) fn notice_or_default(&self) -> Report {
        self.notice.as_ref().map_or_else(|| Arc::new(write_line) as _, |notice| notice.0.clone())
    }

    /// Tells which variables were ignored.
    pub(crate) fn tell_ignored(&self) {
        let line = match &self.ignored[..] {
            [] => return,
            [variable] => format!("iolite: {variable} is not a setting of iolite and was ignored"),
            variables => format!("iolite: {} are not settings of iolite and were ignored", variables.join(", ")),
        };
        self.notice_or_default()(&line);
    }

    /// The first value that is out of its range or does not go with the chosen backend. Where none
    /// is chosen, another source may still choose one.
    fn find_fault(&self) -> Option<Fault> {
        let stack_size = self.stack_size.and_then(|bytes| value::stack_size(bytes, self.backend).err());
        let main_stack_size = self.main_stack_size.and_then(|bytes| value::main_stack_size(bytes).err());
        let executors = self.executors.and_then(|threads| value::executors(threads).err());
        let offload_limit = self.offload_limit.and_then(|threads| value::offload_limit(threads).err());
        let lookup_limit = self.lookup_limit.and_then(|threads| value::lookup_limit(threads).err());
        let lookup_timeout = self.lookup_timeout.and_then(|timeout| value::lookup_timeout(timeout).err());
        [
            ("stack_size", stack_size),
            ("main_stack_size", main_stack_size),
            ("executors", executors),
            ("offload_limit", offload_limit),
            ("lookup_limit", lookup_limit),
            ("lookup_timeout", lookup_timeout),
        ]
        .into_iter()
        .find_map(|(key, what)| what.map(|what| Fault { key, what }))
        .or_else(|| self.find_conflict())
    }

    fn find_conflict(&self) -> Option<Fault> {
        use BackendChoice::{Evented, Threaded};
        let conflict = |key, only| Fault {
            key,
            what: format!(
                "only the {only} backend has it, but backend is {}; leave it out or choose {only} or auto",
                self.backend.unwrap_or_default(),
            ),
        };
        match self.backend {
            Some(Threaded) if self.main_stack_size.is_some() => Some(conflict("main_stack_size", Evented)),
            Some(Threaded) if self.executors.is_some() => Some(conflict("executors", Evented)),
            Some(Threaded) if self.offload_limit.is_some() => Some(conflict("offload_limit", Evented)),
            Some(Evented) if self.idle_timeout.is_some() => Some(conflict("idle_timeout", Threaded)),
            _ => None,
        }
    }
}

impl FromStr for BackendChoice {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        value::backend(name).map_err(|what| ConfigError::new("backend", &what))
    }
}

/// A configuration that cannot be used: one line that names the key and says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    fn new(key: &str, what: &str) -> Self {
        Self(format!("{key}: {what}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConfigError {}

/// What is wrong with the value of a key.
struct Fault {
    key: &'static str,
    what: String,
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.key, &fault.what)
    }
}

/// Who is told what the user should know.
#[derive(Clone)]
struct Notice(Report);

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notice(..)")
    }
}

/// Writes a line to stderr. Unlike `eprintln!`, it does not panic where stderr is closed.
pub(crate) fn write_line(line: &str) {
    use std::io::Write;
    // Nobody is left who could be told that telling failed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod test;
