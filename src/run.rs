//! Running a program on the configured backend.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;

use iolite_evented::Evented;
use iolite_threaded::Threaded;

use crate::config::{BackendChoice, Config, ConfigError, write_line};
use crate::error::IntoError;
use crate::{ErrorChain, Io};

/// Runs `program` on the configured backend and returns its result, after every task has ended.
///
/// With [`BackendChoice::Auto`], if io_uring is not available, the program runs on threads and one report
/// ([`Config::report`]) says why.
///
/// ```
/// use iolite::{BackendChoice, Config};
///
/// let config = Config::new().backend(BackendChoice::Threaded);
/// let sum = iolite::run(config, |io| {
///     let task = io.spawn_async(|_| 20 + 20);
///     2 + task.join(io)
/// })?;
/// assert_eq!(sum, 42);
/// # Ok::<(), iolite::RunError>(())
/// ```
///
/// # Cancellation
///
/// Not a cancellation point. Tasks that are still running when `program` returns are canceled; from then on each of
/// their cancellation points returns `Canceled`. `run` waits for them.
///
/// # Errors
///
/// Fails if the configuration cannot be used or the backend cannot start. In both cases `program` has not run.
///
/// # Panics
///
/// Resumes the panic of `program`.
pub fn run<T>(config: Config, program: impl FnOnce(&dyn Io) -> T) -> Result<T, RunError> {
    config.check()?;
    config.tell_ignored();
    match config.backend.unwrap_or_default() {
        BackendChoice::Threaded => run_threaded(&config, program),
        BackendChoice::Evented => match Evented::prepare(evented_options(&config)) {
            Ok(evented) => Ok(evented.run(program)),
            Err(cause) => Err(RunError::Unavailable { backend: BackendChoice::Evented, cause }),
        },
        BackendChoice::Auto => match Evented::prepare(evented_options(&config)) {
            Ok(evented) => Ok(evented.run(program)),
            Err(cause) => {
                let why = ErrorChain::new(&cause);
                let line = format!("iolite: the evented backend is not available, running on threads: {why}");
                config.report_or_default()(&one_line(&line));
                run_threaded(&config, program)
            }
        },
    }
}

/// Runs `program` as a whole `main`. An error of the program becomes one line on stderr, with all its sources
/// ([`ErrorChain`]), and exit code 1. A bad configuration becomes one line and exit code 2.
///
/// `E` is any error type, a text, a `Box<dyn Error>`, or a type that converts into one, such as `anyhow::Error`.
///
/// # Cancellation
///
/// The same as [`run`].
///
/// # Panics
///
/// The same as [`run`], and no others.
pub fn main<E: IntoError<Via>, Via>(
    config: Result<Config, ConfigError>,
    program: impl FnOnce(&dyn Io) -> Result<(), E>,
) -> ExitCode {
    let outcome = config.map_err(RunError::Config).and_then(|config| run(config, program));
    let (error, code) = match outcome {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => (error.into_error(), 1),
        Err(error @ RunError::Config(_)) => (error.into(), 2),
        Err(error) => (error.into(), 1),
    };
    write_line(&error_line(&*error));
    ExitCode::from(code)
}

/// The reason why a program was not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration cannot be used.
    Config(ConfigError),
    /// The chosen backend cannot start on this system.
    Unavailable {
        /// The backend that cannot start.
        backend: BackendChoice,
        /// The error of the backend.
        cause: io::Error,
    },
}

impl Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Unavailable { backend, .. } => write!(f, "the {backend} backend is not available"),
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Unavailable { cause, .. } => Some(cause),
        }
    }
}

impl From<ConfigError> for RunError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<RunError> for io::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Config(error) => io::Error::new(io::ErrorKind::InvalidInput, error),
            RunError::Unavailable { ref cause, .. } => io::Error::new(cause.kind(), error),
        }
    }
}

fn run_threaded<T>(config: &Config, program: impl FnOnce(&dyn Io) -> T) -> Result<T, RunError> {
    let threaded = Threaded::new(threaded_options(config))
        .map_err(|cause| RunError::Unavailable { backend: BackendChoice::Threaded, cause })?;
    Ok(threaded.run(program))
}

fn threaded_options(config: &Config) -> iolite_threaded::Options {
    let mut options = iolite_threaded::Options::default();
    set(&mut options.async_limit, config.async_limit);
    set(&mut options.concurrent_limit, config.concurrent_limit);
    set(&mut options.stack_size, config.stack_size);
    set(&mut options.lookup_limit, config.lookup_limit);
    set(&mut options.lookup_timeout, config.lookup_timeout);
    set(&mut options.idle_timeout, config.idle_timeout);
    set(&mut options.grace, config.shutdown_grace);
    options.report = Some(config.report_or_default());
    options
}

fn evented_options(config: &Config) -> iolite_evented::Options {
    let mut options = iolite_evented::Options::default();
    set(&mut options.executors, config.executors);
    set(&mut options.async_limit, config.async_limit);
    set(&mut options.concurrent_limit, config.concurrent_limit);
    set(&mut options.stack_size, config.stack_size);
    set(&mut options.main_stack_size, config.main_stack_size);
    set(&mut options.offload_limit, config.offload_limit);
    set(&mut options.lookup_limit, config.lookup_limit);
    set(&mut options.lookup_timeout, config.lookup_timeout);
    set(&mut options.grace, config.shutdown_grace);
    options.report = Some(config.report_or_default());
    options
}

/// Replaces the backend's default if the configuration sets a value.
fn set<T: Copy>(option: &mut T, setting: Option<T>) {
    *option = setting.unwrap_or(*option);
}

/// Returns the line that `main` prints for an error.
fn error_line(error: &dyn Error) -> String {
    one_line(&format!("error: {}", ErrorChain::new(error)))
}

/// Returns the text without line breaks, whatever the program's error prints.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod test {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::net::TcpStream;

    /// Returns the result of `main` as text, because `ExitCode`s can only be compared by their `Debug` form.
    fn code(code: ExitCode) -> String {
        format!("{code:?}")
    }

    #[test]
    fn the_exit_code_tells_success_error_and_bad_configuration_apart() {
        let threaded = || Ok(Config::new().backend(BackendChoice::Threaded));
        assert_eq!(code(main(threaded(), |_| Ok::<_, io::Error>(()))), code(ExitCode::SUCCESS));
        assert_eq!(code(main(threaded(), |_| Err("an error\nof two lines"))), code(ExitCode::from(1)));
        let bad = Config::from_vars([("IOLITE_BACKEND", "evnted")]);
        let unreachable = |_: &dyn Io| -> Result<(), String> { panic!("ran with a bad configuration") };
        assert_eq!(code(main(bad, unreachable)), code(ExitCode::from(2)));
        // Only `run` can find this one.
        assert_eq!(code(main(threaded().map(|config| config.executors(2)), unreachable)), code(ExitCode::from(2)));
    }

    #[test]
    fn main_tells_every_source_of_an_error_once() {
        let unavailable =
            RunError::Unavailable { backend: BackendChoice::Evented, cause: io::Error::other(crate::error::ShutDown) };
        assert_eq!(
            error_line(&io::Error::from(unavailable)),
            "error: the evented backend is not available: the runtime behind this Io has shut down"
        );
        let config = Config::from_vars([("IOLITE_BACKEND", "evnted")]).unwrap_err();
        assert_eq!(error_line(&RunError::from(config.clone())), format!("error: {config}"));
    }

    #[test]
    fn settings_reach_the_backend() {
        let config = Config::new().backend(BackendChoice::Threaded).async_limit(3).concurrent_limit(5);
        let backend = run(config.stack_size(128 << 10), |io| io.backend()).unwrap();
        assert_eq!(backend.to_string(), "threaded(async_limit 3, concurrent_limit 5, stack 128 KiB)");
    }

    #[test]
    fn the_time_for_lookups_reaches_the_backend() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            let config = Config::new().backend(backend).report(|_| ()).lookup_timeout(Duration::from_nanos(1));
            let error = run(config, |io| TcpStream::connect(io, "host.invalid:1")).unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            assert!(error.to_string().contains("host.invalid"), "{error}");
        }
    }

    #[test]
    fn the_program_may_borrow_and_return_what_is_not_send() {
        let local = std::rc::Rc::new(String::from("here"));
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            let config = Config::new().backend(backend).report(|_| ());
            let same = run(config, |_| local.clone()).unwrap();
            assert_eq!(*same, "here");
        }
    }

    #[test]
    fn auto_sends_one_report_at_most_and_runs() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        let config = Config::new().report(move |line| told.lock().unwrap().push(line.to_owned()));
        let backend = run(config, |io| io.backend()).unwrap();
        let expected = usize::from(backend.name == "threaded");
        assert_eq!(lines.lock().unwrap().len(), expected, "{lines:?}");
    }

    #[test]
    fn a_variable_of_somebody_else_is_one_report() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        let variables = [("IOLITE_LOG", "debug"), ("IOLITE_BACKEND", "threaded"), ("IOLITE_URL", "x")];
        let config =
            Config::from_vars(variables).unwrap().report(move |line| told.lock().unwrap().push(line.to_owned()));
        let config = Config::new().overridden_by(config);
        assert_eq!(run(config, |io| io.backend().name).unwrap(), "threaded");
        let expected = "iolite: IOLITE_LOG, IOLITE_URL are not settings of iolite and were ignored";
        assert_eq!(*lines.lock().unwrap(), [expected]);
    }

    #[test]
    #[should_panic(expected = "out of the program")]
    fn a_panic_of_the_program_goes_on() {
        let _ = run(Config::new().backend(BackendChoice::Threaded), |_| panic!("out of the program"));
    }

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("first\n  second\r\n\n third"), "first; second; third");
    }
}
