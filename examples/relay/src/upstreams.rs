//! The hosts: a process that the relay follows, and itself a program on `Io`.
//!
//! Events are generated from the host's number and their own number, so nothing has to be stored. Whatever cursor a
//! relay sends, the host can continue after it, even in a new process.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use iolite::net::{TcpListener, TcpStream};
use iolite::{BackendChoice, Canceled, Config, ErrorChain, Group, Io};

use crate::arguments::{UpstreamsArguments, UpstreamsBackend};
use crate::codec::End;
use crate::console::{Console, Limit};
use crate::emitter::{self, Emitter};
use crate::http;
use crate::report::Report;
use crate::stop::Stop;

/// The time in which a client has to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The number of connections besides those of the hosts: for reports, and for hosts that connect again before the end
/// of their last connection was noticed.
const CONNECTIONS_MORE: usize = 1024;
/// The first and the longest pause after a failed accept.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Runs the process.
pub(crate) fn main(arguments: &UpstreamsArguments) -> ExitCode {
    let config = Config::from_env().map(|config| {
        let config = match arguments.backend {
            None => config,
            Some(UpstreamsBackend::Auto) => config.backend(BackendChoice::Auto),
            Some(UpstreamsBackend::Threaded) => config.backend(BackendChoice::Threaded),
            Some(UpstreamsBackend::Evented) => config.backend(BackendChoice::Evented),
        };
        if config.concurrent_limit.is_some() {
            return config;
        }
        config.concurrent_limit(arguments.hosts as usize + CONNECTIONS_MORE)
    });
    iolite::main(config, |io| serve(io, arguments))
}

/// The hosts, and the state that the tasks of the process share.
pub(crate) struct Upstreams {
    /// Host 1 comes first.
    emitters: Vec<Emitter>,
    console: Console,
    accept: Limit,
}

impl Upstreams {
    pub(crate) fn new(hosts: u32, settings: emitter::Settings) -> Self {
        Self {
            emitters: (1..=hosts).map(|number| Emitter::new(number, settings)).collect(),
            console: Console::new(),
            accept: Limit::default(),
        }
    }

    pub(crate) fn report(&self) -> Report {
        Report { hosts: self.emitters.iter().filter_map(Emitter::report).collect() }
    }
}

fn serve(io: &dyn Io, arguments: &UpstreamsArguments) -> io::Result<()> {
    let stop = Stop::on_signals()?;
    let settings = emitter::Settings { rate: arguments.rate, faults: !arguments.no_faults };
    let upstreams = Upstreams::new(arguments.hosts, settings);
    let listener = http::listen(io, arguments.listen)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr(io)?)?;
    io.group(|group| {
        let accepting = group.spawn_concurrent(|io| accept(io, &upstreams, &listener, group))?;
        if arguments.until_stdin_closes {
            group.spawn_concurrent(|io| stop.when_stdin_closes(io))?;
        }
        let stopped = stop.event().wait(io);
        group.cancel(io);
        accepting.join(io);
        Ok(stopped?)
    })
}

/// Accepts connections until it is canceled.
pub(crate) fn accept<'scope>(
    io: &dyn Io,
    upstreams: &'scope Upstreams,
    listener: &TcpListener,
    group: &'scope Group<'scope, '_>,
) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let failed = match listener.accept(io) {
            Ok((stream, _)) => {
                group.spawn_concurrent(move |io| converse(io, upstreams, &stream)).err().map(io::Error::from)
            }
            Err(error) => Some(error),
        };
        match failed {
            None => backoff = BACKOFF_MIN,
            Some(error) if Canceled::is_in(&error) => return,
            Some(error) => {
                upstreams
                    .console
                    .limited(&upstreams.accept, || format!("upstreams: accepting failed: {}", ErrorChain::new(&error)));
                if io.sleep(backoff).is_err() {
                    return;
                }
                backoff = BACKOFF_MAX.min(backoff * 2);
            }
        }
    }
}

/// The relay decides how its connection ends.
fn converse(io: &dyn Io, upstreams: &Upstreams, stream: &TcpStream) {
    let _: Result<(), End> = answer(io, upstreams, stream);
}

fn answer(io: &dyn Io, upstreams: &Upstreams, stream: &TcpStream) -> Result<(), End> {
    let (request, rest) = io.timeout(REQUEST_TIMEOUT, |io| http::read_request(io, stream))?;
    if request.path == "/report" {
        let body = serde_json::to_vec(&upstreams.report()).expect("a report is JSON");
        return Ok(request.respond(io, stream, "200 OK", "application/json", &body)?);
    }
    let number = request.path.strip_prefix("/hosts/").and_then(|path| path.strip_suffix("/subscribe"));
    let index = number.and_then(|number| number.parse::<usize>().ok()?.checked_sub(1));
    let emitter = index.and_then(|index| upstreams.emitters.get(index));
    match (emitter, request.upgrade(), request.number("cursor")) {
        (Some(emitter), Some(upgrade), Some(cursor)) => {
            stream.write_all(io, upgrade.as_bytes())?;
            emitter.emit(io, stream, rest, cursor)
        }
        (None, ..) => Ok(request.respond(io, stream, "404 Not Found", "text/plain", b"no such host\n")?),
        _ => Ok(request.respond(io, stream, "400 Bad Request", "text/plain", b"a websocket, from ?cursor=N\n")?),
    }
}
