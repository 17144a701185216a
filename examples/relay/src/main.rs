//! A relay: it follows many hosts over websockets, stores their events in a database, and sends them on. The same
//! program runs on threads and on fibers. `README.md` of this package explains the rest.

#![forbid(unsafe_code)]

mod arguments;
mod run;
mod settings;

mod downstream;
mod follow;
mod relay;

mod database;
mod host;
mod live;

mod codec;
mod frame;
mod http;

mod child;
mod emitter;
mod report;
mod upstreams;

mod console;
mod counts;
mod process;
mod stop;
mod summary;

#[cfg(test)]
mod test;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use iolite::{BackendChoice, Config, ErrorChain, RunError};

use arguments::{Arguments, Backends, Command, Format, RelayArguments};
use console::Console;
use database::{Location, Place};
use settings::{Settings, UpstreamsChoice};
use stop::Stop;
use summary::Summary;

/// The default where threads are the unit of concurrency: two per host, and some for subscribers.
const CONCURRENT_LIMIT_THREADED: usize = 1024;
/// The default if the hosts are the relay's own.
const SECONDS: u64 = 12;

fn main() -> ExitCode {
    let Arguments { command, relay } = Arguments::parse();
    process::raise_file_limit();
    if let Some(Command::Upstreams(arguments)) = command {
        return upstreams::main(&arguments);
    }
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("relay: {error}");
            return ExitCode::from(2);
        }
    };
    match run_backends(&relay, &config) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("relay: {}", ErrorChain::new(&*error));
            // An error of a setting for the other backend, for example, appears only when a backend is made.
            let config = matches!(error.downcast_ref(), Some(RunError::Config(_)));
            if config { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Runs on each of the requested backends. Returns true if all runs went well.
fn run_backends(arguments: &RelayArguments, config: &Config) -> Result<bool, Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let mut summaries: Vec<Summary> = Vec::new();
    let mut well = true;
    for choice in choices(arguments, config) {
        // If `auto` had to use threads, the run on threads is already done.
        if stop.is_set() || choice == BackendChoice::Threaded && summaries.iter().any(|run| run.backend == "threaded") {
            continue;
        }
        match run_backend(arguments, config_for(arguments, config, choice), &stop) {
            Ok(summary) => {
                if arguments.format == Format::Json {
                    writeln!(io::stdout(), "{}", summary.json())?;
                }
                if let Some(failure) = &summary.failure {
                    eprintln!("relay: the database stored nothing more at the end: {failure}");
                }
                well &= summary.is_sound();
                summaries.push(summary);
            }
            Err(error) if matches!(error.downcast_ref(), Some(RunError::Config(_))) => return Err(error),
            Err(error) => {
                eprintln!("relay: {}", ErrorChain::new(&*error));
                well = false;
            }
        }
    }
    if arguments.format == Format::Table && !summaries.is_empty() {
        writeln!(io::stdout(), "{}", summary::table(&summaries))?;
    }
    Ok(well)
}

/// Fibers come first: they leave little on the heap in comparison with threads.
fn choices(arguments: &RelayArguments, config: &Config) -> Vec<BackendChoice> {
    match (arguments.backend, config.backend) {
        (Some(Backends::Threaded), _) => vec![BackendChoice::Threaded],
        (Some(Backends::Evented), _) => vec![BackendChoice::Evented],
        (Some(Backends::Both), _) => vec![BackendChoice::Evented, BackendChoice::Threaded],
        (None, Some(choice)) => vec![choice],
        // If fibers are not available, one line says why, and the program continues with threads.
        (None, None) => vec![BackendChoice::Auto, BackendChoice::Threaded],
    }
}

fn config_for(arguments: &RelayArguments, config: &Config, choice: BackendChoice) -> Config {
    let config = config.clone().backend(choice);
    match (arguments.concurrent_limit, config.concurrent_limit) {
        (Some(limit), _) => config.concurrent_limit(limit),
        (None, Some(_)) => config,
        (None, None) if choice == BackendChoice::Evented => config,
        (None, None) => {
            // `auto` may choose threads, whose default is smaller, or fibers, which have more hosts.
            let hosts = arguments.hosts.unwrap_or(0) as usize;
            let fibers = if choice == BackendChoice::Auto { (2 * hosts + 64).max(4096) } else { 0 };
            config.concurrent_limit(CONCURRENT_LIMIT_THREADED.max(fibers))
        }
    }
}

fn run_backend(arguments: &RelayArguments, config: Config, stop: &Stop) -> Result<Summary, Box<dyn Error>> {
    let console = Arc::new(Console::new());
    // It is removed at the end of the run.
    let directory = tempfile::Builder::new().prefix("iolite-relay-").tempdir()?;
    let location = arguments.database.clone().unwrap_or_else(|| {
        let path = directory.path().join("relay.db");
        console.line(&format!("the database is {}, for this run; --database FILE keeps one", path.display()));
        Location::File(path)
    });
    let upstreams = match arguments.upstreams {
        Some(address) => UpstreamsChoice::At(address),
        None => UpstreamsChoice::Own { rate: arguments.rate, faults: !arguments.no_faults },
    };
    let seconds = arguments.seconds.or(arguments.upstreams.is_none().then_some(SECONDS));
    let settings = Settings {
        hosts: arguments.hosts,
        duration: seconds.map(Duration::from_secs),
        place: Place { location, synchronous: arguments.synchronous },
        upstreams,
        listen: arguments.listen,
        console,
        stop: stop.clone(),
    };
    Ok(iolite::run(config, |io| run::run(io, &settings))??)
}
