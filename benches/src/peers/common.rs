//! Helpers that the programs of several peers share.

use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::job::Job;
use crate::measure::Usage;
use crate::record::{Figures, figures};

/// The number of operations between two looks at the clock.
pub(super) const CHUNK: u64 = 1000;
/// The number of closures that each task hands over before all are joined.
pub(super) const CALLS: u64 = 200;
/// The number of times that each of two tasks yields before both are joined.
pub(super) const YIELDS: u64 = 5_000;

/// Returns the name of the requested file.
pub(super) fn asked_for(request: &[u8]) -> io::Result<&str> {
    let line = std::str::from_utf8(request).ok().and_then(|text| text.split_once("\r\n")).map(|(line, _)| line);
    line.and_then(|line| line.strip_prefix("GET /")?.strip_suffix(" HTTP/1.1"))
        .ok_or_else(|| io::Error::other("a request that is none"))
}

/// Returns the HTTP head of an answer that holds a file of `bytes` bytes.
pub(super) fn answer_head(bytes: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")
}

pub(super) fn not_offered(job: Job) -> io::Result<Figures> {
    Err(io::Error::other(format!("this peer has no program for {job:?}")))
}

/// Returns the durations of the sleeps, from zero to the longest, in no particular order.
pub(super) fn sleeps(sleepers: u32, longest_ms: f64) -> impl Iterator<Item = Duration> {
    (0..u64::from(sleepers)).map(move |index| {
        let place = (index * 7_919 % u64::from(sleepers)) as f64 / f64::from(sleepers);
        Duration::from_secs_f64(place * longest_ms / 1000.0)
    })
}

/// Returns the time by which a sleep that began at `begun` returned too late.
pub(super) fn late(begun: Instant, sleep: Duration) -> Duration {
    begun.elapsed().saturating_sub(sleep)
}

/// Returns the figures of `timers`, from the CPU time that the process had used before, and the lateness of each sleep.
pub(super) fn timer_figures(before: Usage, late: impl IntoIterator<Item = Duration>) -> io::Result<Figures> {
    let cpu = Usage::of_process()?.since(before);
    let mut late_ns = Histogram::<u64>::new(3).map_err(io::Error::other)?;
    late.into_iter().for_each(|late| late_ns.record(late.as_nanos() as u64).expect("it grows as needed"));
    Ok(figures([
        ("cpu_ms", cpu.total_us() / 1000.0),
        ("late_p50_us", late_ns.value_at_quantile(0.5) as f64 / 1000.0),
        ("late_p99_us", late_ns.value_at_quantile(0.99) as f64 / 1000.0),
    ]))
}

/// Returns the figures of `memory`, from the bytes before and with all tasks.
pub(super) fn memory_figures(fibers: u32, before: f64, with_all: f64) -> Figures {
    figures([("alive", fibers.into()), ("bytes_per_task", (with_all - before) / f64::from(fibers))])
}

/// Returns the figures of `offload`.
pub(super) fn offload_figures(in_flight: u32, ns_per_operation: f64) -> Figures {
    figures([("in_flight", in_flight.into()), ("ns_per_operation", ns_per_operation)])
}
