//! Errors of configurations.

use std::error::Error;
use std::fmt;

/// An error for a configuration that cannot be used: one line that names the key and says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub(super) String);

impl ConfigError {
    pub(super) fn new(key: &str, what: &str) -> Self {
        Self(format!("{key}: {what}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConfigError {}

/// A problem with the value of a key.
pub(super) struct Fault {
    pub(super) key: &'static str,
    pub(super) what: String,
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.key, &fault.what)
    }
}
