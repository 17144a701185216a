//! The state that the tasks of a run share.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use iolite::Io;
use iolite::bridge::Bridge;

use crate::console::{Console, Limit};
use crate::counts::Counts;
use crate::database::{Database, Reader};
use crate::host::Host;
use crate::live::Live;
use crate::settings::Settings;

/// The number of events that may wait for the database. Beyond it the readers wait, and then TCP makes the hosts wait.
const QUEUE_EVENTS: usize = 8 * 1024;
/// The maximum number of events in one transaction.
const TRANSACTION_EVENTS: usize = 2 * 1024;
/// The state that the tasks of a run share.
pub(crate) struct Relay {
    pub(crate) backend: &'static str,
    pub(crate) upstreams: SocketAddr,
    pub(crate) hosts: Arc<[Host]>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) live: Arc<Live>,
    /// There is one worker, so there is one order of events. Each run of jobs is a transaction.
    pub(crate) database: Bridge<Database>,
    /// For subscribers that replay while the other worker writes.
    pub(crate) reader: Bridge<Reader>,
    pub(crate) console: Arc<Console>,
    pub(crate) limits: Limits,
}

/// Limits each kind of line to one per second.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) connection: Limit,
    pub(crate) malformed: Limit,
    pub(crate) accept: Limit,
    pub(crate) subscriber: Limit,
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

    /// Returns the metrics in Prometheus' text format.
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
