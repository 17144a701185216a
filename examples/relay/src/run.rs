//! One run of the relay on one backend, from the first connection to the summary.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use iolite::bridge::Bridge;
use iolite::net::TcpListener;
use iolite::{Canceled, ErrorChain, Group, Instant, Io, SpawnErrorKind, WaitError};

use crate::child::{ChildSettings, UpstreamsChild};
use crate::codec;
use crate::console::{Console, Limit};
use crate::counts::Counts;
use crate::database::{Audited, Database, Place, Reader};
use crate::downstream;
use crate::host::{self, Host};
use crate::http;
use crate::live::Live;
use crate::process::{Status, Usage};
use crate::stop::Stop;
use crate::summary::Summary;
use crate::upstreams::Report;

/// How many events may wait for the database; then the readers wait, and then TCP makes the hosts
/// wait.
const QUEUE_EVENTS: usize = 8 * 1024;
/// How many events one transaction holds at most.
const TRANSACTION_EVENTS: usize = 2 * 1024;
/// The hosts are asked at the end what they sent; the answer may not hold up the end.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the main task looks after the upstreams process.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const HOSTS_THREADED: u32 = 300;
const HOSTS_EVENTED: u32 = 1000;

/// What to run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// By default as many as suit the backend.
    pub(crate) hosts: Option<u32>,
    /// By default until the wish to stop.
    pub(crate) duration: Option<Duration>,
    pub(crate) place: Place,
    pub(crate) upstreams: UpstreamsChoice,
    pub(crate) listen: SocketAddr,
    pub(crate) console: Arc<Console>,
    pub(crate) stop: Stop,
}

#[derive(Debug)]
pub(crate) enum UpstreamsChoice {
    At(SocketAddr),
    Own { rate: f64, faults: bool },
}

/// What the tasks of a run share.
pub(crate) struct Relay {
    backend: &'static str,
    pub(crate) upstreams: SocketAddr,
    pub(crate) hosts: Arc<[Host]>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) live: Arc<Live>,
    /// One worker, so that there is one order of events. In runs of jobs, a transaction each.
    pub(crate) database: Bridge<Database>,
    /// For subscribers that replay, beside the writing.
    pub(crate) reader: Bridge<Reader>,
    pub(crate) console: Arc<Console>,
    pub(crate) limits: Limits,
}

/// Each kind of line at most once a second.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) connection: Limit,
    pub(crate) malformed: Limit,
    pub(crate) accept: Limit,
    pub(crate) subscriber: Limit,
}

/// What was seen when the run was asked to end, and how long that took.
struct Ended {
    tasks: usize,
    usage: Usage,
    shutdown: Duration,
}

/// Runs the relay.
///
/// # Cancellation
///
/// Ended by the wish to stop in `settings` rather than by cancellation, which it reports as an
/// error.
pub(crate) fn run(io: &dyn Io, settings: &Settings) -> io::Result<Summary> {
    let backend = io.backend().name;
    let hosts = settings.hosts.unwrap_or(if backend == "threaded" { HOSTS_THREADED } else { HOSTS_EVENTED });
    let mut child = match settings.upstreams {
        UpstreamsChoice::At(_) => None,
        UpstreamsChoice::Own { rate, faults } => {
            // Where fibers are not to be had, the relay has said so already.
            let backend = if backend == "threaded" { "threaded" } else { "auto" };
            Some(UpstreamsChild::start(io, ChildSettings { hosts, rate, faults, backend })?)
        }
    };
    let upstreams = match (&settings.upstreams, &child) {
        (_, Some(child)) => child.address,
        (&UpstreamsChoice::At(address), None) => address,
        (UpstreamsChoice::Own { .. }, None) => unreachable!("it was started above"),
    };
    let relay = Relay::open(io, settings, backend, hosts, upstreams)?;
    let starts: Vec<u64> = relay.hosts.iter().map(|host| host.committed.load(SeqCst)).collect();
    let listener = TcpListener::bind(io, settings.listen).map_err(|error| named(settings.listen, &error))?;
    settings.console.line(&format!(
        "{} follows {hosts} hosts at {upstreams}; http://{} has /subscribe?cursor=N and /metrics",
        io.backend(),
        listener.local_addr(io)?,
    ));
    let status = Status::open(io)?;
    let mut untaken = Vec::new();
    let ended = io.group(|group| {
        group.spawn_concurrent(|io| downstream::serve(io, &relay, &listener, group))?;
        untaken = relay.take_hosts(group);
        relay.follow(io, settings, &mut child)?;
        let (tasks, usage) = (group.len() + 1, status.usage(io)?);
        let asked = io.now();
        group.cancel(io);
        // All that was handed over is committed after this.
        relay.database.close(io);
        io::Result::Ok(Ended { tasks, usage, shutdown: io.now() - asked })
    })?;
    let report = relay.report(io);
    let audit = relay.reader.call(io, |reader| reader.audit())?.map_err(io::Error::other)?;
    relay.reader.close(io);
    settings.console.finish();
    Ok(relay.summary(&ended, &starts, report, &audit, untaken))
}

/// Says on which address nobody can listen.
pub(crate) fn named(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("listening on {address}: {}", ErrorChain::new(error)))
}

impl Relay {
    pub(crate) fn open(
        io: &dyn Io,
        settings: &Settings,
        backend: &'static str,
        hosts: u32,
        upstreams: SocketAddr,
    ) -> io::Result<Self> {
        let console = settings.console.clone();
        let hosts: Arc<[Host]> = (1..=hosts).map(|number| Host::new(number, 0)).collect();
        let counts = Arc::new(Counts::new(console.clone()));
        let live = Arc::new(Live::default());
        let report: Arc<dyn Fn(&str) + Send + Sync> = {
            let (console, limit) = (console.clone(), Limit::default());
            Arc::new(move |line| console.limited(&limit, || line.into()))
        };
        let place = settings.place.clone();
        let reader = Bridge::builder("reader")
            .workers(1)
            .report(report.clone())
            .state(move || Reader::open(&place))
            .start(io)?;
        let database = {
            let (place, hosts, counts, live) = (settings.place.clone(), hosts.clone(), counts.clone(), live.clone());
            Bridge::builder("database")
                .workers(1)
                .queue_capacity(QUEUE_EVENTS)
                .run_max(TRANSACTION_EVENTS)
                .report(report)
                .state(move || Database::open(&place, &hosts, &counts, &live))
                .after_run(Database::end_run)
                .start(io)?
        };
        Ok(Self { backend, upstreams, hosts, counts, live, database, reader, console, limits: Limits::default() })
    }

    /// Starts two tasks per host; returns the hosts for which there was no room.
    pub(crate) fn take_hosts<'scope>(&'scope self, group: &'scope Group<'scope, '_>) -> Vec<String> {
        let mut untaken = Vec::new();
        let mut reason: Option<SpawnErrorKind> = None;
        for host in self.hosts.iter() {
            let (sender, receiver) = codec::outgoing();
            let writer =
                group.spawn_concurrent(move |io| host::write(io, self, host, receiver)).map_err(|error| error.kind);
            // Without its reader the writer ends: the sender goes with the reader's closure.
            let reader = writer.and_then(|_| {
                group.spawn_concurrent(move |io| host::read(io, self, host, sender)).map_err(|error| error.kind)
            });
            if let Err(kind) = reader {
                untaken.push(host.to_string());
                reason.get_or_insert(kind);
            }
        }
        if let Some(reason) = reason {
            let count = untaken.len();
            self.console.line(&format!("{count} hosts are not taken ({reason}): {}", untaken.join(", ")));
        }
        untaken
    }

    /// Shows progress and looks after the upstreams process, until the end is wished for or due.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    fn follow(&self, io: &dyn Io, settings: &Settings, child: &mut Option<UpstreamsChild>) -> io::Result<()> {
        let started = io.now();
        let end = settings.duration.map_or(Instant::MAX, |duration| started + duration);
        let (mut shown, mut stored_before) = (started, 0);
        loop {
            let look = io.now() + LOOK_INTERVAL;
            match settings.stop.event().wait_deadline(io, look.min(end)) {
                Ok(()) => return Ok(()),
                Err(WaitError::Canceled(canceled)) => return Err(canceled.into()),
                Err(WaitError::TimedOut(_)) => {}
            }
            let now = io.now();
            if now >= end {
                return Ok(());
            }
            if now - shown >= self.console.interval() {
                let stored = self.counts.stored.load(Relaxed);
                let rate = (stored - stored_before) as f64 / (now - shown).as_secs_f64();
                self.console.progress(self.progress(now - started, stored, rate));
                (shown, stored_before) = (now, stored);
            }
            self.look_after(io, child)?;
        }
    }

    fn progress(&self, since: Duration, stored: u64, rate: f64) -> String {
        let Self { backend, counts, hosts, .. } = self;
        format!(
            "{backend}, {:.0} s: {}/{} hosts connected, {stored} events stored ({rate:.0}/s), {} connections ended, {} malformed frames",
            since.as_secs_f64(),
            counts.online.load(Relaxed),
            hosts.len(),
            counts.disconnects.load(Relaxed),
            counts.malformed.load(Relaxed),
        )
    }

    /// Starts the upstreams process anew if it has ended: its hosts go on where they are asked to.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    fn look_after(&self, io: &dyn Io, child: &mut Option<UpstreamsChild>) -> io::Result<()> {
        let Some(running) = child else { return Ok(()) };
        let Some(status): Option<ExitStatus> = running.ended() else { return Ok(()) };
        self.console.line(&format!("the upstreams process ended ({status}): starting it again"));
        let (settings, address) = (running.settings().clone(), running.address);
        match UpstreamsChild::restart(io, settings, address) {
            Ok(restarted) => *running = restarted,
            Err(error) if Canceled::is_in(&error) => return Err(error),
            Err(error) => self.console.line(&format!("starting it again failed: {}", ErrorChain::new(&error))),
        }
        Ok(())
    }

    /// What the hosts say they sent, if they can be asked.
    fn report(&self, io: &dyn Io) -> Option<Report> {
        let body = io.timeout(REPORT_TIMEOUT, |io| http::get(io, self.upstreams, "/report"));
        let report = body.and_then(|body| serde_json::from_slice(&body).map_err(io::Error::from));
        report
            .inspect_err(|error| {
                let why = ErrorChain::new(error);
                self.console.line(&format!("the hosts do not say what they sent ({why}): taking what was received"));
            })
            .ok()
    }

    fn summary(
        &self,
        ended: &Ended,
        starts: &[u64],
        report: Option<Report>,
        audit: &[Audited],
        untaken: Vec<String>,
    ) -> Summary {
        let counts = &self.counts;
        let received = counts.received.load(Relaxed);
        let sent = report.as_ref().map_or(received, |report| {
            let sent_since = |host: &crate::upstreams::HostReport| {
                host.sent.saturating_sub(starts.get(host.host as usize - 1).copied().unwrap_or(host.sent))
            };
            report.hosts.iter().map(sent_since).sum()
        });
        Summary {
            backend: self.backend,
            hosts: self.hosts.len(),
            connected: self.hosts.iter().filter(|host| host.connected.load(Relaxed)).count(),
            tasks: ended.tasks,
            os_threads: ended.usage.threads,
            rss_bytes: ended.usage.resident_bytes,
            events_sent: sent,
            events_received: received,
            events_stored: counts.stored.load(Relaxed),
            events_lost: lost(&self.hosts, &report.unwrap_or_default(), audit),
            duplicates: counts.duplicates.load(Relaxed),
            malformed: counts.malformed.load(Relaxed),
            failure: counts.failure(),
            shutdown_ms: ended.shutdown.as_millis() as u64,
            untaken,
        }
    }

    /// In Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        let (counts, database) = (&self.counts, self.database.metrics());
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, value: f64| {
            let name = format!("relay_{name}");
            let backend = self.backend;
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{backend=\"{backend}\"}} {value}")
                .expect("a string takes every line");
        };
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed) as f64;
        metric("hosts", "gauge", "Hosts to follow.", self.hosts.len() as f64);
        metric("hosts_connected", "gauge", "Connections to hosts that are up.", of(&counts.online));
        metric("disconnects_total", "counter", "Connections to hosts that ended.", of(&counts.disconnects));
        metric("events_received_total", "counter", "Events handed to the database.", of(&counts.received));
        metric("events_stored_total", "counter", "Events committed.", of(&counts.stored));
        metric("events_replayed_total", "counter", "Events told again and dropped.", of(&counts.replayed));
        metric("duplicates_total", "counter", "Events that the database had already.", of(&counts.duplicates));
        metric("malformed_total", "counter", "Malformed frames.", of(&counts.malformed));
        metric("acknowledgements_total", "counter", "Cursors acknowledged to hosts.", of(&counts.acknowledgements));
        metric("transactions_total", "counter", "Transactions committed.", of(&counts.transactions));
        metric("transactions_failed_total", "counter", "Transactions that failed.", of(&counts.transactions_failed));
        metric("position", "gauge", "The position of the last event.", self.live.head() as f64);
        metric("subscribers", "gauge", "Subscribers.", self.live.followers() as f64);
        metric("queue_depth", "gauge", "Jobs that wait for the database.", database.depth as f64);
        metric("queue_waits_total", "counter", "How often a reader waited for room.", database.waits as f64);
        text
    }
}

/// Events that are missing: of each host all up to the highest that it was told is stored, that
/// the cursor names, or that is stored, less those of them that are in the database.
pub(crate) fn lost(hosts: &[Host], report: &Report, audit: &[Audited]) -> u64 {
    let mut expected: std::collections::BTreeMap<u32, (u64, u64)> = std::collections::BTreeMap::new();
    for host in hosts {
        expected.insert(host.number, (host.committed.load(SeqCst), 0));
    }
    for host in &report.hosts {
        let entry = expected.entry(host.host).or_default();
        entry.0 = entry.0.max(host.acknowledged);
    }
    for audited in audit {
        let entry = expected.entry(audited.host).or_default();
        *entry = (entry.0.max(audited.seq_max), audited.rows);
    }
    expected.values().map(|(expected, rows)| expected.saturating_sub(*rows)).sum()
}

#[cfg(test)]
mod test {
    use super::lost;
    use crate::database::Audited;
    use crate::host::Host;
    use crate::upstreams::{HostReport, Report};

    #[test]
    fn what_is_acknowledged_but_not_stored_is_lost_and_so_is_a_gap() {
        let hosts = [Host::new(1, 10), Host::new(2, 0)];
        let report = |acknowledged| Report { hosts: vec![HostReport { host: 1, sent: 15, acknowledged }] };
        let audited = |rows, seq_max| Audited { host: 1, rows, seq_min: 1, seq_max };
        assert_eq!(lost(&hosts, &report(8), &[audited(10, 10)]), 0, "sent and not acknowledged is not lost");
        assert_eq!(lost(&hosts, &report(12), &[audited(10, 10)]), 2);
        assert_eq!(lost(&hosts, &report(8), &[audited(9, 10)]), 1);
        assert_eq!(lost(&hosts, &report(8), &[audited(11, 12)]), 1);
        assert_eq!(lost(&hosts, &report(8), &[]), 10);
    }
}
