//! What a program may choose about its backend: in code, from the environment, from TOML.

mod settings;

mod env;
#[cfg(feature = "config")]
mod toml;

mod choice;
mod error;
mod notice;
mod spelling;
mod value;

pub use choice::BackendChoice;
pub use error::ConfigError;
pub use settings::Config;

use std::str::FromStr;
use std::sync::Arc;

use iolite_io::backend::Report;

use notice::Notice;
pub(crate) use notice::write_line;

impl Config {
    /// A configuration in which everything is the default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets who is told what the user of the program should know, a line at a time: that `auto`
    /// fell back, that shutdown waits for a task, that a variable was ignored. Default: a line on stderr.
    ///
    /// It may be called from any thread of the backend and must not block for long.
    #[must_use]
    pub fn notice(self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { notice: Some(Notice(Arc::new(notice))), ..self }
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
}

impl FromStr for BackendChoice {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        value::backend(name).map_err(|what| ConfigError::new("backend", &what))
    }
}

#[cfg(test)]
mod test;
