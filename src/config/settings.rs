//! The settings, a row for each. From the rows come the fields of [`Config`], the methods that set them, and the keys that
//! the environment and TOML share.

use std::time::Duration;

use super::choice::BackendChoice::{self, Evented, Threaded};
use super::error::Fault;
use super::notice::Notice;
use super::value;

/// Before each key's name in the environment.
pub(super) const PREFIX: &str = "IOLITE_";

/// A setting that has a name.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The only backend that has it.
    pub(super) only: Option<BackendChoice>,
    set: fn(&mut Config, &str) -> Result<(), String>,
    is_set: fn(&Config) -> bool,
    /// What is wrong with its value, by itself and with the chosen backend.
    check: fn(&Config) -> Result<(), String>,
}

/// `/// DOCUMENTATION`, `NAME: TYPE => ARGUMENT, PARSER, RANGE, BACKEND;`: the argument of the method that sets it, how
/// a text becomes a value, which values are accepted, and the only backend that has it, if there is one.
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
            pub(super) notice: Option<Notice>,
            /// Variables of the environment that look like settings and are none.
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

            /// This configuration, with what `other` sets in place of its own.
            #[must_use]
            pub fn overridden_by(mut self, other: Config) -> Self {
                self.ignored.extend(other.ignored);
                Self {
                    $($name: other.$name.or(self.$name),)*
                    notice: other.notice.or(self.notice),
                    ignored: self.ignored,
                }
            }
        }

        /// In the order in which the documentation tells them.
        pub(super) const KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            only: $only,
            // Of any backend's range: which one is chosen may not have been read yet.
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
    pub struct Config;

    /// The backend. Default: [`BackendChoice::Auto`].
    backend: BackendChoice => backend, value::backend, value::any, None;
    /// How many tasks of `spawn_async` run beside their callers; more run inline. 0 is legal: all
    /// run inline.
    async_limit: usize => tasks, value::count, value::any, None;
    /// How many tasks of `spawn_concurrent` and `spawn_waiting` exist at once; more are refused, or
    /// wait. 0 is legal: there are none.
    concurrent_limit: usize => tasks, value::count, value::any, None;
    /// The stack of a task in bytes, up to 1 GiB; at least 32 KiB on `evented`, and 64 KiB where
    /// the task may have a thread.
    stack_size: usize => bytes, value::bytes, value::stack_size, None;
    /// The stack of the main task in bytes, from 32 KiB to 1 GiB. Only `evented` runs it on one of
    /// its own.
    main_stack_size: usize => bytes, value::bytes, value::main_stack_size, Some(Evented);
    /// How many threads run fibers, from 1 to 1,024. Only `evented` has executors.
    executors: usize => threads, value::count, value::executors, Some(Evented);
    /// How many threads run what fibers `offload`, from 1 to 1,024. Only `evented` has such threads.
    offload_limit: usize => threads, value::count, value::offload_limit, Some(Evented);
    /// How many threads look host names up, from 1 to 1,024; more lookups wait.
    lookup_limit: usize => threads, value::count, value::lookup_limit, None;
    /// How long a call waits for the addresses of a name. Not zero.
    lookup_timeout: Duration => timeout, value::duration, value::lookup_timeout, None;
    /// How long a thread without work stays. Only `threaded` has such threads.
    idle_timeout: Duration => timeout, value::duration, value::any, Some(Threaded);
    /// How long shutdown waits before it names the tasks that have not ended; it then goes on
    /// waiting.
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
    /// The first value that is out of its range or does not go with the chosen backend. Where none
    /// is chosen, another source may still choose one.
    pub(super) fn find_fault(&self) -> Option<Fault> {
        let out_of_range = KEYS.iter().find_map(|key| key.out_of_range(self));
        out_of_range.or_else(|| KEYS.iter().find_map(|key| key.conflict(self)))
    }
}
