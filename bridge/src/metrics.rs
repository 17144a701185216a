//! The counts of a bridge.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counts of a [`Bridge`](crate::Bridge)'s work since its start. While jobs are on their way, the counts may be out
/// of step with each other. After [`close`](crate::Bridge::close) they are exact:
/// `accepted = ran + panicked + canceled + refused`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The number of jobs that are queued now, including canceled jobs that no worker has passed yet.
    pub depth: usize,
    /// Jobs that were put into a queue.
    pub accepted: u64,
    /// Jobs that ran and returned.
    pub ran: u64,
    /// Jobs that ran and panicked.
    pub panicked: u64,
    /// Queued calls whose caller gave up before a worker took them.
    pub canceled: u64,
    /// Jobs that a worker took while it had no state to run them with.
    pub refused: u64,
    /// The number of times that a caller found a queue full and had to wait.
    pub waits: u64,
    /// The number of times that a worker without a job was woken.
    pub wakes: u64,
    /// Runs of jobs between `before_run` and `after_run`.
    pub runs: u64,
    /// The number of states that were made, including the first state of each worker.
    pub states: u64,
    /// The total time that jobs took: at least of those counted in `ran` and `panicked`.
    pub service_sum: Duration,
    /// The time that the longest job took.
    pub service_max: Duration,
}

/// The counts of one worker. Only that worker writes them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerMetrics {
    pub(crate) ran: Counter,
    pub(crate) panicked: Counter,
    pub(crate) canceled: Counter,
    pub(crate) refused: Counter,
    pub(crate) runs: Counter,
    pub(crate) states: Counter,
    service_nanos_sum: Counter,
    service_nanos_max: Counter,
}

impl WorkerMetrics {
    pub(crate) fn served(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.service_nanos_sum.add(nanos);
        self.service_nanos_max.raise(nanos);
    }

    pub(crate) fn add_to(&self, metrics: &mut Metrics) {
        metrics.ran += self.ran.get();
        metrics.panicked += self.panicked.get();
        metrics.canceled += self.canceled.get();
        metrics.refused += self.refused.get();
        metrics.runs += self.runs.get();
        metrics.states += self.states.get();
        metrics.service_sum += Duration::from_nanos(self.service_nanos_sum.get());
        metrics.service_max = metrics.service_max.max(Duration::from_nanos(self.service_nanos_max.get()));
    }
}

/// A number with one writer, so that counting needs no read-modify-write.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        // Relaxed: there is one writer, and readers need only the number.
        self.0.store(self.get().saturating_add(count), Ordering::Relaxed);
    }

    fn raise(&self, value: u64) {
        self.0.store(self.get().max(value), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
