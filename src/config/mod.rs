//! The choices that a program has about its backend: in code, from the environment and from TOML.

mod settings;

mod env;
#[cfg(feature = "config")]
mod toml;

mod choice;
mod error;
mod report;
mod spelling;
mod value;

pub use choice::BackendChoice;
pub use error::ConfigError;
pub use settings::Config;

use std::str::FromStr;
use std::sync::Arc;

use iolite_io::backend::Report;

use report::ReportHook;
pub(crate) use report::write_line;

impl Config {
    /// Makes a configuration in which every setting has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the function that receives reports for the user of the program, one line at a time: that `auto` has fallen
    /// back, that shutdown waits for a task, that a variable was ignored. By default, each report is a line on stderr.
    ///
    /// The function may be called from any thread of the backend and must not block for long.
    #[must_use]
    pub fn report(self, report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { report: Some(ReportHook(Arc::new(report))), ..self }
    }

    /// Checks that [`run`](crate::run) would accept the values and their combination.
    ///
    /// # Errors
    ///
    /// The problem, in one line that names the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let whole = self.clone().backend(self.backend.unwrap_or_default());
        whole.find_fault().map_or(Ok(()), |fault| Err(fault.into()))
    }

    pub(crate) fn report_or_default(&self) -> Report {
        self.report.as_ref().map_or_else(|| Arc::new(write_line) as _, |report| report.0.clone())
    }

    /// Sends a report that names the variables that were ignored.
    pub(crate) fn tell_ignored(&self) {
        let line = match &self.ignored[..] {
            [] => return,
            [variable] => format!("iolite: {variable} is not a setting of iolite and was ignored"),
            variables => format!("iolite: {} are not settings of iolite and were ignored", variables.join(", ")),
        };
        self.report_or_default()(&line);
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
