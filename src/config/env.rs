//! The configuration from environment variables.

use std::ffi::{OsStr, OsString};

use super::settings::{KEYS, Key, PREFIX};
use super::spelling::{is_near_miss, nearest};
use super::{Config, ConfigError};

/// Names a TOML file. The other variables override its settings.
const FILE: &str = "IOLITE_CONFIG";
/// The project's own tests use variables with this prefix; they are ignored.
const TEST_PREFIX: &str = "IOLITE_TEST_";

impl Config {
    /// Reads the `IOLITE_*` variables of the environment.
    ///
    /// | variable | value |
    /// |---|---|
    /// | `IOLITE_CONFIG` | the path of a TOML file (see [`from_toml`](Self::from_toml)), which the other variables override |
    /// | `IOLITE_BACKEND` | `auto`, `threaded` or `evented` |
    /// | `IOLITE_ASYNC_LIMIT`, `IOLITE_CONCURRENT_LIMIT` | a count of tasks |
    /// | `IOLITE_STACK_SIZE`, `IOLITE_MAIN_STACK_SIZE` | bytes, as in `262144`, `256KiB` or `8MiB` |
    /// | `IOLITE_EXECUTORS`, `IOLITE_OFFLOAD_LIMIT`, `IOLITE_LOOKUP_LIMIT` | a count of threads |
    /// | `IOLITE_LOOKUP_TIMEOUT`, `IOLITE_IDLE_TIMEOUT`, `IOLITE_SHUTDOWN_GRACE` | a duration, as in `500ms`, `10s` or `2min` |
    ///
    /// Any other variable that begins with `IOLITE_` belongs to another program. It is ignored, and [`run`](crate::run)
    /// says so in one report ([`Config::report`]). A name that is a near miss of one of these, such as
    /// `IOLITE_EXECUTERS`, is refused. Variables that begin with `IOLITE_TEST_` are reserved for tests and ignored
    /// without a report.
    ///
    /// # Errors
    ///
    /// One line that names the variable. The causes are a name that is a near miss of one of these, a bad value, a
    /// combination of settings that is impossible, and a file that cannot be read or has errors.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(std::env::vars_os())
    }

    /// Reads the configuration from the given variables instead of those of the environment; otherwise like
    /// [`from_env`](Self::from_env).
    ///
    /// # Errors
    ///
    /// The same as those of `from_env`.
    pub fn from_vars<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Result<Self, ConfigError>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let mut config = Config::new();
        let mut file = Config::new();
        for (name, value) in ours(variables) {
            if name == FILE {
                file = read_file(&value).map_err(|error| ConfigError::new(FILE, &error.0))?;
            } else {
                set(&mut config, name, &value)?;
            }
        }
        if let Some(fault) = config.find_fault() {
            return Err(ConfigError::new(&Key::variable(fault.key), &fault.what));
        }
        let config = file.overridden_by(config);
        config.find_fault().map_or(Ok(config), |fault| Err(fault.into()))
    }
}

/// The variables that are meant for iolite. They are sorted, so that of two errors always the same one is reported.
fn ours<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Vec<(String, OsString)>
where
    N: Into<OsString>,
    V: Into<OsString>,
{
    let mut ours: Vec<_> = variables
        .into_iter()
        .map(|(name, value)| (name.into().to_string_lossy().into_owned(), value.into()))
        .filter(|(name, _)| name.starts_with(PREFIX) && !name.starts_with(TEST_PREFIX))
        .collect();
    ours.sort();
    ours
}

fn set(config: &mut Config, variable: String, value: &OsStr) -> Result<(), ConfigError> {
    let Some(key) = KEYS.iter().find(|key| Key::variable(key.name) == variable) else {
        return set_unknown(config, variable);
    };
    let text = value.to_str().ok_or_else(|| ConfigError::new(&variable, "the value is not valid UTF-8"))?;
    key.set(config, text).map_err(|what| ConfigError::new(&variable, &what))
}

/// Handles a variable that has the name of no setting: it belongs to another program, or it is a misspelled setting,
/// which must be reported.
fn set_unknown(config: &mut Config, variable: String) -> Result<(), ConfigError> {
    let known: Vec<_> = KEYS.iter().map(|key| Key::variable(key.name)).chain([FILE.into()]).collect();
    let nearest = nearest(&variable.to_ascii_uppercase(), known.iter().map(String::as_str));
    if is_near_miss(&variable[PREFIX.len()..], &nearest[PREFIX.len()..]) {
        return Err(ConfigError::new(&variable, &format!("unknown variable; the nearest known one is {nearest}")));
    }
    config.ignored.push(variable);
    Ok(())
}

#[cfg(feature = "config")]
fn read_file(path: &OsStr) -> Result<Config, ConfigError> {
    Config::from_toml_file(path)
}

#[cfg(not(feature = "config"))]
fn read_file(_: &OsStr) -> Result<Config, ConfigError> {
    Err(ConfigError("this program was built without iolite's feature `config`, which reads TOML".into()))
}
