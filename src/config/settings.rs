//! The table of settings, a row for each. The rows produce the fields of [`Config`], the methods that set them, and the
//! keys that the environment and TOML share.

use std::time::Duration;

use super::choice::BackendChoice::{self, Evented, Threaded};
use super::error::Fault;
use super::report::ReportHook;
use super::value;

/// The prefix of each key's name in the environment.
pub(super) const PREFIX: &str = "IOLITE_";

/// A setting and its name.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The only backend that has this setting, if not all have it.
    pub(super) only: Option<BackendChoice>,
    set: fn(&mut Config, &str) -> Result<(), String>,
    is_set: fn(&Config) -> bool,
    /// Checks the value, by itself and against the chosen backend.
    check: fn(&Config) -> Result<(), String>,
}

/// The form of a row is `/// DOCUMENTATION`, `NAME: TYPE => ARGUMENT, PARSER, RANGE, BACKEND;`. It gives the argument
/// of the method that sets it, the parser of its text form, the check of its range, and the only backend that has it,
/// if not all have it.
macro_rules! settings {
    (
        $(#[$config:meta])*
        pub struct Config;
        $($(#[$documentation:meta])* $name:ident: $type:ty => $argument:ident, $parse:path, $range:path, $only:expr;)*
    ) => {
        $(#[$config])*
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub struct Config {
            $($(#[$documentation])* pub $name: Option<$type>,)*
            pub(super) report: Option<ReportHook>,
            /// Variables of the environment that look like settings but belong to other programs.
            pub(super) ignored: Vec<String>,
        }

        impl Config {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(self, $argument: $type) -> Self {
                    Self { $name: Some($argument), ..self }
                }
            )*

            /// Returns this configuration with every setting replaced that `other` sets.
            #[must_use]
            pub fn overridden_by(mut self, other: Config) -> Self {
                self.ignored.extend(other.ignored);
                Self {
                    $($name: other.$name.or(self.$name),)*
                    report: other.report.or(self.report),
                    ignored: self.ignored,
                }
            }
        }

        /// All keys, in the order of the documentation.
        pub(super) const KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            only: $only,
            // Accepts the range of any backend: the choice of the backend may not have been read yet.
            set: |config, text| {
                config.$name = Some($range($parse(text)?, None)?);
                Ok(())
            },
            is_set: |config| config.$name.is_some(),
            check: |config| config.$name.map_or(Ok(()), |value| $range(value, config.backend).map(drop)),
        },)*];
    };
}

settings! {
    /// The choice of the backend that runs the program, and its limits.
    ///
    /// Every setting is optional; `None` means the backend's default. The same settings have the same names in code, in
    /// TOML (`stack_size = "256KiB"`) and, in capitals after `IOLITE_`, in the environment
    /// (`IOLITE_STACK_SIZE=256KiB`).
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
    pub struct Config;

    /// The backend that runs the program. Default: [`BackendChoice::Auto`].
    backend: BackendChoice => backend, value::backend, value::any, None;
    /// The maximum number of `spawn_async` tasks that run beside their callers; further tasks run inline. With 0, all
    /// of them run inline.
    async_limit: usize => tasks, value::count, value::any, None;
    /// The maximum number of `spawn_concurrent` and `spawn_waiting` tasks that exist at once. Beyond it, the former are
    /// refused and the latter wait. With 0, there can be none.
    concurrent_limit: usize => tasks, value::count, value::any, None;
    /// The size of a task's stack in bytes: at most 1 GiB, and at least 32 KiB on `evented`, or 64 KiB if the task may
    /// run on a thread.
    stack_size: usize => bytes, value::bytes, value::stack_size, None;
    /// The size of the main task's stack in bytes, from 32 KiB to 1 GiB. Only `evented` runs the main task on a stack
    /// of its own.
    main_stack_size: usize => bytes, value::bytes, value::main_stack_size, Some(Evented);
    /// The number of threads that run fibers, from 1 to 1,024. Only `evented` has executors.
    executors: usize => threads, value::count, value::executors, Some(Evented);
    /// The maximum number of threads that run the closures of `offload`, from 1 to 1,024. Only `evented` has such
    /// threads.
    offload_limit: usize => threads, value::count, value::offload_limit, Some(Evented);
    /// The maximum number of threads that look up host names, from 1 to 1,024; further lookups wait.
    lookup_limit: usize => threads, value::count, value::lookup_limit, None;
    /// The time after which a lookup of a host name gives up. Must not be zero.
    lookup_timeout: Duration => timeout, value::duration, value::lookup_timeout, None;
    /// The time after which a thread without work ends. Only `threaded` has such threads.
    idle_timeout: Duration => timeout, value::duration, value::any, Some(Threaded);
    /// The time that shutdown waits before it reports the names of the tasks that have not ended. Afterwards it
    /// continues to wait.
    shutdown_grace: Duration => grace, value::duration, value::any, None;
}

impl Key {
    /// The name of the environment variable.
    pub(super) fn variable(name: &str) -> String {
        format!("{PREFIX}{}", name.to_ascii_uppercase())
    }

    pub(super) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text)
    }

    fn out_of_range(&self, config: &Config) -> Option<Fault> {
        (self.check)(config).err().map(|what| Fault { key: self.name, what })
    }

    fn conflict(&self, config: &Config) -> Option<Fault> {
        let (only, chosen) = (self.only?, config.backend?);
        if chosen == only || chosen == BackendChoice::Auto || !(self.is_set)(config) {
            return None;
        }
        let what =
            format!("only the {only} backend has it, but backend is {chosen}; leave it out or choose {only} or auto");
        Some(Fault { key: self.name, what })
    }
}

impl Config {
    /// Returns the first value that is out of range or that the chosen backend does not have. If no backend is chosen,
    /// another source may still choose one, so the second check is left out.
    pub(super) fn find_fault(&self) -> Option<Fault> {
        let out_of_range = KEYS.iter().find_map(|key| key.out_of_range(self));
        out_of_range.or_else(|| KEYS.iter().find_map(|key| key.conflict(self)))
    }
}
