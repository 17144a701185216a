//! One run of the relay on one backend, from the first connection to the summary.

use std::io;
use std::process::ExitStatus;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use iolite::{Canceled, ErrorChain, Group, Instant, Io, SpawnErrorKind, WaitError};

use crate::child::{ChildSettings, UpstreamsChild};
use crate::codec;
use crate::database::Audited;
use crate::downstream;
use crate::follow;
use crate::host::Host;
use crate::http;
use crate::process::{Status, Usage};
use crate::relay::Relay;
use crate::report::{HostReport, Report};
use crate::settings::{Settings, UpstreamsChoice};
use crate::summary::Summary;

/// The time limit for the hosts' report at the end, which must not delay the end.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);
/// The interval at which the main task checks the upstreams process.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const HOSTS_THREADED: u32 = 300;
const HOSTS_EVENTED: u32 = 1000;

/// The state when the run was asked to end, and the time that the end took.
struct Ended {
    tasks: usize,
    usage: Usage,
    shutdown: Duration,
}

/// Runs the relay.
///
/// # Cancellation
///
/// The request to stop in `settings` ends it. A cancellation is reported as an error.
pub(crate) fn run(io: &dyn Io, settings: &Settings) -> io::Result<Summary> {
    let backend = io.backend().name;
    let hosts = settings.hosts.unwrap_or(if backend == "threaded" { HOSTS_THREADED } else { HOSTS_EVENTED });
    let mut child = match settings.upstreams {
        UpstreamsChoice::At(_) => None,
        UpstreamsChoice::Own { rate, faults } => {
            // If fibers are not available, the relay has said so already.
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
    let listener = http::listen(io, settings.listen)?;
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
        // After this, all events that were handed over are committed.
        relay.database.close(io);
        io::Result::Ok(Ended { tasks, usage, shutdown: io.now() - asked })
    })?;
    let report = relay.report(io);
    let audit = relay.reader.call(io, |reader| reader.audit())?.map_err(io::Error::other)?;
    relay.reader.close(io);
    settings.console.finish();
    Ok(relay.summary(&ended, &starts, report, &audit, untaken))
}

impl Relay {
    /// Starts two tasks per host. Returns the hosts for which there was no room.
    pub(crate) fn take_hosts<'scope>(&'scope self, group: &'scope Group<'scope, '_>) -> Vec<String> {
        let mut untaken = Vec::new();
        let mut reason: Option<SpawnErrorKind> = None;
        for host in self.hosts.iter() {
            let (sender, receiver) = codec::outgoing();
            let writer =
                group.spawn_concurrent(move |io| follow::write(io, self, host, receiver)).map_err(|error| error.kind);
            // Without its reader the writer ends: the sender is dropped with the reader's closure.
            let reader = writer.and_then(|_| {
                group.spawn_concurrent(move |io| follow::read(io, self, host, sender)).map_err(|error| error.kind)
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

    /// Shows progress and checks the upstreams process, until the end is requested or due.
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
            match io.timeout_at(look.min(end), |io| settings.stop.event().wait(io)) {
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

    /// Restarts the upstreams process if it has ended: its hosts continue where the relay asks them to.
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

    /// Returns the report of the hosts, if they can be asked.
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
            let sent_since = |host: &HostReport| {
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
}

/// Returns the number of missing events. For each host, these are all events up to the highest one that the host was
/// told is stored, that the cursor names, or that is stored, without those that are in the database.
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
    use crate::report::{HostReport, Report};

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
