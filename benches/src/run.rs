//! The rounds in which the peers take turns, and their output.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::thread;

use comfy_table::presets;

use crate::all;
use crate::arguments::{Common, Echo, Files, Format, Memory, Names, Proxy, Question, Serve, Stream};
use crate::child::{self, Server};
use crate::exchange::{self, Answer, Exchanged};
use crate::generator::{self, Load};
use crate::job::{Job, Way};
use crate::measure::{self, Usage};
use crate::peer::{ECHO, FILES, MANY, NAMES, OFFLOAD, PROXY, Peer, SERVE, STREAM, TASKS};
use crate::peers::installed::{Installed, installed};
use crate::peers::names::{self, Call};
use crate::peers::reads::{self, Mode};
use crate::peers::{self, Foreign};
use crate::record::{Figures, Record, figures, median, table};
use crate::report;
use crate::streaming;
use crate::syscalls::Counter;

/// The time for which system calls are counted.
const COUNTING_SECONDS: f64 = 0.1;
/// The size of a connection's buffer, if requests are not larger.
const BUFFER_BYTES: usize = 512;

/// Answers a question. Returns false if a measurement failed, which was reported.
///
/// # Errors
///
/// The question cannot be asked in this way, or the answer cannot be printed.
pub(crate) fn answer(question: &Question) -> Result<bool, String> {
    match question {
        Question::Echo(echo) => answer_echo(echo),
        Question::Stream(stream) => answer_stream(stream),
        Question::Tasks(tasks) => {
            let job = Job::Tasks { batch: tasks.batch, seconds: tasks.common.seconds };
            answer_jobs(&tasks.common, TASKS, &[job])
        }
        Question::Yield(question) => {
            answer_jobs(&question.common, TASKS, &[Job::Yield { seconds: question.common.seconds }])
        }
        Question::Channel(channel) => {
            answer_jobs(&channel.common, TASKS, &[Job::Channel { seconds: channel.common.seconds }])
        }
        Question::Timers(timers) => {
            let longest_ms = timers.common.seconds.min(1.0) * 1000.0;
            answer_jobs(&timers.common, MANY, &[Job::Timers { sleepers: timers.sleepers, longest_ms }])
        }
        Question::Memory(memory) => answer_memory(memory),
        Question::Offload(offload) => {
            let jobs = [1, 256].map(|in_flight| Job::Offload { in_flight, seconds: offload.common.seconds });
            answer_jobs(&offload.common, OFFLOAD, &jobs)
        }
        Question::Files(files) => answer_files(files),
        Question::Names(names) => answer_names(names),
        Question::Serve(serve) => answer_serve(serve),
        Question::Proxy(proxy) => answer_proxy(proxy),
        Question::All(all) => all::answer(all),
        Question::Report(report) => report::answer(&report.folder),
        Question::Child { .. } => unreachable!("a child is asked for a job, not for an answer"),
    }
}

fn answer_jobs(common: &Common, offered: &[Peer], jobs: &[Job]) -> Result<bool, String> {
    let mut rounds = Rounds::new(common, offered, offered)?;
    rounds.run(|peer| jobs.iter().map(|job| child::run(peer, job)).collect());
    rounds.end()
}

fn answer_files(files: &Files) -> Result<bool, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("the folder for temporary files: {error}"))?;
    let path = files.file.clone().unwrap_or_else(|| folder.path().join("file"));
    let bytes = files.mib << 20;
    reads::make(&path, bytes).map_err(|error| error.to_string())?;
    let jobs = [Mode::Direct, Mode::Hot].map(|mode| {
        let (path, in_flight, seconds) = (path.clone(), files.in_flight, files.common.seconds);
        Job::Files(reads::Files { path, bytes, mode, in_flight, seconds })
    });
    answer_jobs(&files.common, FILES, &jobs)
}

fn answer_names(question: &Names) -> Result<bool, String> {
    let told = |error: io::Error| format!("the folder for files: {error}");
    let parent = question.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(parent).map_err(told)?;
    names::make(folder.path()).map_err(told)?;
    let jobs = Call::ALL.map(|call| {
        Job::Names(names::Names { folder: folder.path().to_owned(), call, seconds: question.common.seconds })
    });
    answer_jobs(&question.common, NAMES, &jobs)
}

fn answer_serve(serve: &Serve) -> Result<bool, String> {
    let told = |error: io::Error| format!("the folder for files: {error}");
    let folder = tempfile::tempdir().map_err(told)?;
    fs::write(folder.path().join("file"), vec![0xA5; serve.bytes as usize]).map_err(told)?;
    // This is for nginx, whose worker may run as another user.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).map_err(told)?;
    let request = b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut rounds = Rounds::new(&serve.common, SERVE, SERVE)?;
    rounds.run(|peer| {
        let mut server = Server::start(peer, &Job::Serve { folder: folder.path().to_owned() })?;
        let (address, connections, seconds) = (server.address, serve.connections, serve.common.seconds);
        let load = || exchange::load(address, connections, request, Answer::Http, seconds, || server.usage());
        let (connections, bytes) = (serve.connections.into(), serve.bytes.into());
        Ok(vec![exchange_figures(connections, bytes, &on_first_core(load)?)])
    });
    rounds.end()
}

fn answer_proxy(proxy: &Proxy) -> Result<bool, String> {
    let bytes = proxy.bytes as usize;
    let origin = on_first_core(|| exchange::answer(bytes)).map_err(|error| format!("the server behind: {error}"))?;
    let mut rounds = Rounds::new(&proxy.common, PROXY, PROXY)?;
    rounds.run(|peer| {
        let mut server = Server::start(peer, &Job::Proxy { origin })?;
        let (address, connections, seconds) = (server.address, proxy.connections, proxy.common.seconds);
        let (request, answer) = ([0; exchange::REQUEST_BYTES], Answer::Bytes(bytes));
        let load = || exchange::load(address, connections, &request, answer, seconds, || server.usage());
        let (connections, bytes) = (proxy.connections.into(), proxy.bytes.into());
        Ok(vec![exchange_figures(connections, bytes, &on_first_core(load)?)])
    });
    rounds.end()
}

fn exchange_figures(connections: f64, bytes: f64, load: &Exchanged<Usage>) -> Figures {
    let [before, after] = load.asked;
    let requests = load.requests as f64;
    figures([
        ("connections", connections),
        ("bytes", bytes),
        ("cpu_us_per_request", after.since(before).total_us() / requests),
        ("requests_per_second", requests / load.elapsed.as_secs_f64()),
    ])
}

fn answer_echo(echo: &Echo) -> Result<bool, String> {
    let mut rounds = Rounds::new(&echo.common, ECHO, ECHO)?;
    let mut busy = Vec::new();
    let mut uncounted = Vec::new();
    rounds.run(|peer| {
        let measured = measure_echo(peer, echo)?;
        busy.push((peer, measured.generator_busy, measured.server_busy));
        uncounted.extend(measured.uncounted.map(|reason| (peer, reason)));
        Ok(vec![measured.figures])
    });
    for peer in rounds.peers.clone() {
        let of_peer = || busy.iter().filter(|(of, ..)| *of == peer);
        let generator = median(of_peer().map(|(_, generator, _)| *generator).collect());
        let server = median(of_peer().map(|(_, _, server)| *server).collect());
        note_busy(peer, generator, server);
    }
    let first = |peer| uncounted.iter().find(move |(of, _)| *of == peer);
    for (peer, reason) in rounds.peers.iter().filter_map(|&peer| first(peer)) {
        eprintln!("note: {peer}: calls_per_request is left out: {reason}");
    }
    rounds.end()
}

fn answer_stream(stream: &Stream) -> Result<bool, String> {
    let mut rounds = Rounds::new(&stream.common, STREAM, STREAM)?;
    rounds.run(|peer| Way::ALL.into_iter().map(|way| measure_stream(peer, stream, way)).collect());
    rounds.end()
}

fn measure_stream(peer: Peer, stream: &Stream, way: Way) -> io::Result<Figures> {
    let mut server = Server::start(peer, &Job::Stream { piece_bytes: stream.bytes as usize, way })?;
    let (address, connections, seconds) = (server.address, stream.connections, stream.common.seconds);
    let load = on_first_core(|| streaming::load(address, connections, way, seconds, || server.usage()))?;
    let [before, after] = load.asked;
    let used = after.since(before);
    let mib = load.bytes as f64 / f64::from(1 << 20);
    let mut all = figures([("connections", connections.into()), ("bytes", stream.bytes.into())]);
    all.insert("mode".into(), way.name().into());
    all.extend(figures([
        ("cpu_us_per_mib", used.total_us() / mib),
        ("user_us_per_mib", used.user_us / mib),
        ("mib_per_second", mib / load.elapsed.as_secs_f64()),
    ]));
    Ok(all)
}

/// Prints a note if the server alone does not determine the requests per second, judging from the used fractions of the
/// cores.
fn note_busy(peer: Peer, generator: f64, server: f64) {
    let [generator_percent, server_percent] = [generator, server].map(|part| format!("{:.0} %", part * 100.0));
    if generator.max(server) < 0.9 {
        eprintln!(
            "note: {peer}: neither the server ({server_percent}) nor the generator ({generator_percent}) had a core \
             to itself, or both waited: trust the CPU time, not requests per second"
        );
    } else if generator >= 0.95 * server {
        eprintln!(
            "note: {peer}: the generator ({generator_percent} of a core) was as busy as the server \
             ({server_percent}): trust the CPU time, not requests per second"
        );
    }
}

/// One measurement of `echo`.
struct Echoed {
    figures: Figures,
    /// The fraction of a core that the generator used.
    generator_busy: f64,
    /// The fraction of a core that the server used.
    server_busy: f64,
    /// The reason why system calls were not counted.
    uncounted: Option<io::Error>,
}

fn measure_echo(peer: Peer, echo: &Echo) -> io::Result<Echoed> {
    let bytes = echo.bytes as usize;
    let mut server = Server::start(peer, &Job::Echo { buffer_bytes: bytes.max(BUFFER_BYTES) })?;
    let load = load(server.address, echo, echo.common.seconds, || server.usage())?;
    let [before, after] = load.asked;
    let used = after.since(before);
    let requests = load.requests as f64;
    let elapsed_us = load.elapsed.as_secs_f64() * 1e6;
    let latency_us = |ns: u64| ns as f64 / 1000.0;
    let mut all = figures([
        ("connections", echo.connections.into()),
        ("bytes", echo.bytes.into()),
        ("requests", requests),
        ("requests_per_second", requests / elapsed_us * 1e6),
        ("cpu_us_per_request", used.total_us() / requests),
        ("user_us_per_request", used.user_us / requests),
        ("p50_us", latency_us(load.latency_ns.value_at_quantile(0.5))),
        ("p99_us", latency_us(load.latency_ns.value_at_quantile(0.99))),
        ("p999_us", latency_us(load.latency_ns.value_at_quantile(0.999))),
        ("max_us", latency_us(load.latency_ns.max())),
        ("fairness", load.fairness),
    ]);
    let counted = calls_per_request(&server, echo);
    all.extend(counted.as_ref().ok().map(|calls| figures([("calls_per_request", *calls)])).unwrap_or_default());
    Ok(Echoed {
        figures: all,
        generator_busy: load.generator.total_us() / elapsed_us,
        server_busy: used.total_us() / elapsed_us,
        uncounted: counted.err(),
    })
}

/// Counts the system calls of the server, over new connections after the measured time, because counting takes time.
fn calls_per_request(server: &Server, echo: &Echo) -> io::Result<f64> {
    let mut counter = None;
    let load = load(server.address, echo, COUNTING_SECONDS, || match counter.take() {
        None => {
            counter = Some(Counter::start(server.pid())?);
            Ok(0)
        }
        Some(counter) => counter.end(),
    })?;
    Ok(load.asked[1] as f64 / load.requests as f64)
}

/// Runs `load` on a thread of its own, so that only this thread, and the threads that it starts, are pinned.
fn on_first_core<T: Send>(load: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let core = measure::cores()?[0];
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            measure::pin(&[core])?;
            load()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the generator panicked")))
    })
}

fn load<T: Send>(
    address: SocketAddr,
    echo: &Echo,
    seconds: f64,
    ask: impl FnMut() -> io::Result<T> + Send,
) -> io::Result<Load<T>> {
    on_first_core(|| generator::load(address, echo.connections, echo.bytes as usize, seconds, ask))
}

fn answer_memory(memory: &Memory) -> Result<bool, String> {
    if let Some(connections) = memory.connections {
        let mut rounds = Rounds::new(&memory.common, ECHO, ECHO)?;
        rounds.run(|peer| Ok(vec![measure_connections(peer, connections)?]));
        return rounds.end();
    }
    let mut rounds = Rounds::new(&memory.common, MANY, TASKS)?;
    rounds.run(|peer| Ok(vec![child::run(peer, &Job::Memory { fibers: memory.fibers })?]));
    rounds.end()
}

fn measure_connections(peer: Peer, connections: u32) -> io::Result<Figures> {
    let mut server = Server::start(peer, &Job::Echo { buffer_bytes: BUFFER_BYTES })?;
    // A first connection stays open, so that allocations that happen once are not counted.
    let _first = echo_once(&server)?;
    let before = server.resident_bytes()?;
    let alive = (0..connections).map(|_| echo_once(&server)).collect::<io::Result<Vec<_>>>()?;
    let grown = server.resident_bytes()? - before;
    drop(alive);
    Ok(figures([("connections", connections.into()), ("bytes_per_connection", grown / f64::from(connections))]))
}

fn echo_once(server: &Server) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.write_all(b"hello")?;
    let mut echo = [0; 5];
    stream.read_exact(&mut echo)?;
    if &echo == b"hello" { Ok(stream) } else { Err(io::Error::other("the server does not echo")) }
}

/// The rounds and their results.
struct Rounds<'a> {
    common: &'a Common,
    peers: Vec<Peer>,
    records: Vec<Record>,
    failed: bool,
}

impl<'a> Rounds<'a> {
    fn new(common: &'a Common, default: &[Peer], offered: &[Peer]) -> Result<Self, String> {
        let mut peers = common.peers(default, offered)?;
        let find = |peer| {
            peers::foreign(peer).map_or(Ok(()), Foreign::build)?;
            installed(peer).map_or(Ok(()), Installed::find)
        };
        peers.retain(|&peer| match find(peer) {
            Ok(()) => true,
            Err(error) => {
                eprintln!("note: {peer} is left out: {error}");
                false
            }
        });
        Ok(Self { common, peers, records: Vec::new(), failed: false })
    }

    /// Measures every peer in every round. A failure is reported, and the other peers continue. Each round begins with
    /// another peer, so that a periodic disturbance of the machine does not always hit the same one.
    fn run(&mut self, mut measure: impl FnMut(Peer) -> io::Result<Vec<Figures>>) {
        for round in 1..=self.common.rounds {
            let first = (round - 1) as usize % self.peers.len().max(1);
            for &peer in self.peers[first..].iter().chain(&self.peers[..first]) {
                match measure(peer) {
                    Err(error) => {
                        eprintln!("error: {peer}, round {round}: {error}");
                        self.failed = true;
                    }
                    Ok(all) => {
                        for figures in all {
                            let record = Record { peer: peer.to_string(), round, figures };
                            if self.common.format == Format::Json {
                                println!("{}", record.json());
                            }
                            self.records.push(record);
                        }
                    }
                }
            }
        }
    }

    /// Prints the table, if requested. Returns false if a measurement failed.
    fn end(self) -> Result<bool, String> {
        if self.common.format == Format::Table {
            println!("{}", table(&self.records, presets::UTF8_HORIZONTAL_ONLY));
        }
        Ok(!self.failed)
    }
}
