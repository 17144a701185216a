//! Rounds in which the peers take turns, and what is told of them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::arguments::{Common, Echo, Format, Memory, Question};
use crate::generator;
use crate::job::{self, Job, Server};
use crate::measure;
use crate::peer::{ECHO, MANY, OFFLOAD, Peer, TASKS};
use crate::record::{Figures, Record, figures, median, table};

/// The buffer of a connection, where requests are not larger.
const BUFFER_BYTES: usize = 512;

/// Answers a question. `false` when a measurement failed, which was told.
///
/// # Errors
///
/// The question cannot be asked in this way, or nobody hears the answer.
pub(crate) fn answer(question: &Question) -> Result<bool, String> {
    match question {
        Question::Echo(echo) => answer_echo(echo),
        Question::Tasks(tasks) => {
            let job = Job::Tasks { batch: tasks.batch, seconds: tasks.common.seconds };
            nanoseconds(&tasks.common, TASKS, &[job], &[])
        }
        Question::Yield(question) => {
            nanoseconds(&question.common, TASKS, &[Job::Yield { seconds: question.common.seconds }], &[])
        }
        Question::Channel(channel) => {
            nanoseconds(&channel.common, TASKS, &[Job::Channel { seconds: channel.common.seconds }], &[])
        }
        Question::Timers(timers) => {
            let longest_ms = timers.common.seconds.min(1.0) * 1000.0;
            let job = Job::Timers { sleepers: timers.sleepers, longest_ms };
            let mut rounds = Rounds::new(&timers.common, MANY, MANY)?;
            rounds.run(|peer| Ok(vec![job::run(peer, job)?]));
            rounds.end(&[], &["cpu_ms", "late_p50_us", "late_p99_us"])
        }
        Question::Memory(memory) => answer_memory(memory),
        Question::Offload(offload) => {
            let jobs = [1, 256].map(|in_flight| Job::Offload { in_flight, seconds: offload.common.seconds });
            nanoseconds(&offload.common, OFFLOAD, &jobs, &["in_flight"])
        }
        Question::Child { .. } => unreachable!("a child is asked for a job, not for an answer"),
    }
}

fn nanoseconds(common: &Common, offered: &[Peer], jobs: &[Job], keys: &[&str]) -> Result<bool, String> {
    let mut rounds = Rounds::new(common, offered, offered)?;
    rounds.run(|peer| jobs.iter().map(|&job| job::run(peer, job)).collect());
    rounds.end(keys, &["ns_per_operation"])
}

fn answer_echo(echo: &Echo) -> Result<bool, String> {
    let mut rounds = Rounds::new(&echo.common, ECHO, ECHO)?;
    let mut busy = Vec::new();
    rounds.run(|peer| {
        let (figures, generator_busy, server_busy) = measure_echo(peer, echo)?;
        busy.push((peer, generator_busy, server_busy));
        Ok(vec![figures])
    });
    for peer in rounds.peers.clone() {
        let of_peer = || busy.iter().filter(|(of, ..)| *of == peer);
        let generator = median(of_peer().map(|(_, generator, _)| *generator).collect());
        let server = median(of_peer().map(|(_, _, server)| *server).collect());
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
    let columns = ["cpu_us_per_request", "user_us_per_request", "requests_per_second", "p50_us", "p99_us", "max_us"];
    rounds.end(&["connections", "bytes"], &[&columns[..], &["fairness"]].concat())
}

/// The figures, and the part of a core that the generator and the server used.
fn measure_echo(peer: Peer, echo: &Echo) -> io::Result<(Figures, f64, f64)> {
    let bytes = echo.bytes as usize;
    let mut server = Server::start(peer, Job::Echo { buffer_bytes: bytes.max(BUFFER_BYTES) })?;
    let (address, connections, seconds) = (server.address, echo.connections, echo.common.seconds);
    let core = measure::cores()?[0];
    // On a thread of its own, so that only it is pinned.
    let load = thread::scope(|scope| {
        let generator = scope.spawn(|| {
            measure::pin(core)?;
            generator::load(address, connections, bytes, seconds, || server.usage())
        });
        generator.join().unwrap_or_else(|_| Err(io::Error::other("the generator panicked")))
    })?;
    let requests = load.requests as f64;
    let elapsed_us = load.elapsed.as_secs_f64() * 1e6;
    let latency_us = |ns: u64| ns as f64 / 1000.0;
    let figures = figures([
        ("connections", connections.into()),
        ("bytes", echo.bytes.into()),
        ("requests", requests),
        ("requests_per_second", requests / elapsed_us * 1e6),
        ("cpu_us_per_request", load.server.total_us() / requests),
        ("user_us_per_request", load.server.user_us / requests),
        ("p50_us", latency_us(load.latency_ns.value_at_quantile(0.5))),
        ("p99_us", latency_us(load.latency_ns.value_at_quantile(0.99))),
        ("max_us", latency_us(load.latency_ns.max())),
        ("fairness", load.fairness),
    ]);
    Ok((figures, load.generator.total_us() / elapsed_us, load.server.total_us() / elapsed_us))
}

fn answer_memory(memory: &Memory) -> Result<bool, String> {
    if let Some(connections) = memory.connections {
        let mut rounds = Rounds::new(&memory.common, ECHO, ECHO)?;
        rounds.run(|peer| Ok(vec![measure_connections(peer, connections)?]));
        return rounds.end(&["connections"], &["bytes_per_connection"]);
    }
    let mut rounds = Rounds::new(&memory.common, MANY, TASKS)?;
    rounds.run(|peer| Ok(vec![job::run(peer, Job::Memory { fibers: memory.fibers })?]));
    rounds.end(&["alive"], &["bytes_per_task"])
}

fn measure_connections(peer: Peer, connections: u32) -> io::Result<Figures> {
    let mut server = Server::start(peer, Job::Echo { buffer_bytes: BUFFER_BYTES })?;
    // One that comes and stays, so that what is made once is not counted.
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

/// Rounds and what came of them.
struct Rounds<'a> {
    common: &'a Common,
    peers: Vec<Peer>,
    records: Vec<Record>,
    failed: bool,
}

impl<'a> Rounds<'a> {
    fn new(common: &'a Common, default: &[Peer], offered: &[Peer]) -> Result<Self, String> {
        Ok(Self { common, peers: common.peers(default, offered)?, records: Vec::new(), failed: false })
    }

    /// Measures every peer in every round. A failure is told, and the others go on. Each round begins with the next
    /// peer, so that what slows the machine down at intervals does not always meet the same one.
    fn run(&mut self, mut measure: impl FnMut(Peer) -> io::Result<Vec<Figures>>) {
        for round in 1..=self.common.rounds {
            let first = (round - 1) as usize % self.peers.len();
            for &peer in self.peers[first..].iter().chain(&self.peers[..first]) {
                match measure(peer) {
                    Err(error) => {
                        eprintln!("error: {peer}, round {round}: {error}");
                        self.failed = true;
                    }
                    Ok(all) => {
                        for figures in all {
                            let record = Record { peer, round, figures };
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

    /// Prints the table, if that is wanted. `false` when a measurement failed.
    fn end(self, keys: &[&str], columns: &[&str]) -> Result<bool, String> {
        if self.common.format == Format::Table {
            println!("{}", table(&self.records, keys, columns));
        }
        Ok(!self.failed)
    }
}
