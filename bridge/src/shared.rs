//! The state that the handle and the workers of a bridge share.

use std::sync::{Mutex, PoisonError};

use crossbeam_queue::ArrayQueue;
use iolite_io::backend::{Closing, Count};
use iolite_io::sync::Event;

use crate::hooks::Hooks;
use crate::metrics::{Metrics, WorkerMetrics};
use crate::mpsc::Ring;
use crate::queue::Queue;
use crate::wake::Wakes;

pub(crate) struct Shared<S> {
    pub(crate) name: String,
    pub(crate) unkeyed: Queue<S, ArrayQueue<u32>>,
    /// One queue per worker.
    pub(crate) keyed: Box<[Queue<S, Ring<u32>>]>,
    pub(crate) wakes: Wakes,
    /// A caller checks it while it holds a permit. A worker ends only when it saw it closed and, after that, saw all
    /// permits free. So a worker takes every job of a caller that saw it open.
    closed: Closing,
    /// The number of workers that have not ended.
    alive: Count,
    /// Set when no worker is alive.
    pub(crate) ended: Event,
    pub(crate) startup: Startup,
    pub(crate) run_max: usize,
    pub(crate) hooks: Hooks<S>,
    /// One entry per worker.
    pub(crate) worker_metrics: Box<[WorkerMetrics]>,
}

impl<S> Shared<S> {
    pub(crate) fn new(name: String, workers: usize, queue_capacity: usize, run_max: usize, hooks: Hooks<S>) -> Self {
        Self {
            name,
            unkeyed: Queue::new(queue_capacity),
            keyed: (0..workers).map(|_| Queue::new(queue_capacity)).collect(),
            wakes: Wakes::new(workers),
            closed: Closing::default(),
            alive: Count::new(workers),
            ended: Event::new(),
            startup: Startup::new(workers),
            run_max,
            hooks,
            worker_metrics: (0..workers).map(|_| WorkerMetrics::default()).collect(),
        }
    }

    pub(crate) fn has_shared_jobs(&self) -> bool {
        !self.unkeyed.carrier().is_empty()
    }

    pub(crate) fn wake_for_shared(&self) {
        self.wakes.wake_any(|| self.has_shared_jobs());
    }

    pub(crate) fn wake_for_keyed(&self, worker: usize) {
        self.wakes.wake_worker(worker, || self.has_shared_jobs());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.has_begun()
    }

    /// Stops accepting jobs.
    pub(crate) fn close(&self) {
        self.closed.begin();
        self.wake_all();
    }

    /// Returns true if a worker has nothing more to wait for.
    pub(crate) fn may_end(&self, worker: usize) -> bool {
        self.is_closed() && self.unkeyed.is_all_free() && self.keyed[worker].is_all_free()
    }

    /// Called after a worker took a shared job: other workers may wait for this job to be the last.
    #[inline]
    pub(crate) fn shared_job_taken(&self) {
        if self.is_closed() && self.unkeyed.is_all_free() {
            self.wake_all();
        }
    }

    /// Called after a caller returned room because the bridge is closed: workers may wait for that.
    #[cold]
    pub(crate) fn room_refused(&self) {
        self.wake_all();
    }

    pub(crate) fn worker_ended(&self) {
        if self.alive.remove() {
            self.ended.set();
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics { wakes: self.wakes.count(), ..Metrics::default() };
        for permits in self.keyed.iter().map(Queue::permits).chain([self.unkeyed.permits()]) {
            metrics.depth += permits.taken();
            metrics.accepted += permits.accepted();
            metrics.waits += permits.waits();
        }
        self.worker_metrics.iter().for_each(|worker| worker.add_to(&mut metrics));
        metrics
    }

    fn wake_all(&self) {
        self.wakes.wake_all(|| self.has_shared_jobs());
    }
}

/// The reports of the workers on their first states.
pub(crate) struct Startup {
    /// The report of each worker.
    reports: Mutex<Vec<Option<Result<(), String>>>>,
    /// Set when all workers have reported.
    pub(crate) done: Event,
}

impl Startup {
    fn new(workers: usize) -> Self {
        Self { reports: Mutex::new(vec![None; workers]), done: Event::new() }
    }

    /// Counts the first report of a worker.
    pub(crate) fn report(&self, worker: usize, result: Result<(), String>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports[worker].get_or_insert(result);
        let all = reports.iter().all(Option::is_some);
        drop(reports);
        if all {
            self.done.set();
        }
    }

    /// Returns the first worker that has no state, and the reason.
    pub(crate) fn failure(&self) -> Option<(usize, String)> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.iter().enumerate().find_map(|(worker, report)| match report {
            Some(Err(message)) => Some((worker, message.clone())),
            _ => None,
        })
    }
}
