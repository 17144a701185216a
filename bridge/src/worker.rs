//! A worker: one thread, its state, and the runs of jobs that it takes.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::backend::{AbortOnUnwind, current, send_report};
use iolite_io::{Instant, Io};

use crate::job::{Ending, Job, Refusal, Uncommitted};
use crate::metrics::WorkerMetrics;
use crate::mpsc::Consumer;
use crate::panics::caught;
use crate::queue::Popped;
use crate::shared::Shared;

/// The time after a failure before the worker tries again to make its state.
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// The place of one worker in its bridge, taken before the worker's thread exists. If it is dropped without a call of
/// [`work`](Seat::work), it counts as a worker that could not start.
pub(crate) struct Seat<S> {
    shared: Arc<Shared<S>>,
    index: usize,
}

struct Worker<'a, S> {
    shared: &'a Shared<S>,
    io: &'a dyn Io,
    index: usize,
    keyed: Consumer<'a, u32>,
    state: Option<S>,
    failure: Option<Failure>,
    /// The jobs of this run whose callers wait for its commit.
    uncommitted: Vec<Uncommitted>,
    /// True while the waker's count in `Wakes::searching` includes this worker.
    searching: bool,
    /// True if the worker looks at its keyed queue first. It does so every other time, for fairness.
    keyed_first: bool,
}

/// The reason why there is no state, and the time of the next attempt.
struct Failure {
    message: Arc<str>,
    retry_at: Instant,
    back_off: Duration,
}

impl<S: 'static> Seat<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, index: usize) -> Self {
        Self { shared, index }
    }

    /// Does the worker's work until the bridge is closed and drained. It continues whatever the jobs and hooks do. A
    /// panic out of `io` ends the process, because callers wait for this thread.
    pub(crate) fn work(self, io: &dyn Io) {
        let abort = AbortOnUnwind;
        self.shared.wakes.register(self.index);
        if let Some(keyed) = self.shared.keyed[self.index].carrier().consumer() {
            let mut worker = Worker {
                shared: &self.shared,
                io,
                index: self.index,
                keyed,
                state: None,
                failure: None,
                uncommitted: Vec::new(),
                searching: false,
                keyed_first: false,
            };
            worker.start();
            worker.work();
            worker.drop_state();
        }
        self.shared.wakes.unregister(self.index);
        drop(self);
        mem::forget(abort);
    }
}

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        self.shared.startup.report(self.index, Err("its thread ended before it began".into()));
        self.shared.worker_ended();
    }
}

impl<S: 'static> Worker<'_, S> {
    fn start(&mut self) {
        self.make_state(self.io.now());
        let made = self.failure.as_ref().map_or(Ok(()), |failure| Err(failure.message.to_string()));
        self.shared.startup.report(self.index, made);
    }

    fn work(&mut self) {
        loop {
            if self.run() {
                self.look_for_tear_down();
            } else if !self.sleep() {
                return;
            }
        }
    }

    /// Takes and runs jobs until there is none, the run is full, or the state is lost. Returns true if there was any
    /// job.
    fn run(&mut self) -> bool {
        let Some(first) = self.pop() else { return false };
        self.stop_searching();
        let mut now = self.io.now();
        let mut popped = Some(first);
        let mut begun = false;
        let mut left = self.shared.run_max;
        while let Some(item) = popped {
            match item {
                Popped::Canceled => self.metrics().canceled.add(1),
                Popped::Job(job) => {
                    if !begun {
                        begun = self.begin_run(now);
                        now = self.io.now();
                    }
                    if !self.run_job(job, &mut now) && begun {
                        self.end_commits(&Err("another job of its run panicked".into()));
                        return true;
                    }
                }
            }
            left -= 1;
            popped = if left == 0 { None } else { self.pop() };
        }
        if begun {
            self.metrics().runs.add(1);
            let committed = self.around_run("after_run");
            self.end_commits(&committed);
        }
        true
    }

    /// Lets the callers continue that wait for the commit of the run.
    fn end_commits(&mut self, committed: &Result<(), String>) {
        self.uncommitted.drain(..).for_each(|job| job.end(committed.clone()));
    }

    /// Runs one job, or refuses it if there is no state. Returns true if there is a state afterwards.
    fn run_job(&mut self, job: Job<S>, now: &mut Instant) -> bool {
        let ending = match &mut self.state {
            Some(state) => {
                let ending = job.run(state);
                let end = self.io.now();
                self.metrics().served(end - *now);
                *now = end;
                ending
            }
            None => job.refuse(self.refusal()),
        };
        match ending {
            Ending::Ran => self.metrics().ran.add(1),
            Ending::RanUncommitted(job) => {
                self.metrics().ran.add(1);
                self.uncommitted.push(job);
            }
            Ending::Panicked { unheard } => {
                self.metrics().panicked.add(1);
                if let Some(message) = unheard {
                    self.report(&format!("a posted job panicked: {message}"));
                }
                self.drop_state();
            }
            Ending::Refused { unheard } => {
                self.metrics().refused.add(1);
                if let Some(reason) = unheard {
                    self.report(&format!("a posted job was refused: {reason}"));
                }
            }
        }
        self.state.is_some()
    }

    fn refusal(&self) -> Refusal {
        self.failure.as_ref().map_or(Refusal::Closed, |failure| Refusal::State(failure.message.clone()))
    }

    /// Makes the state if there is none, and calls `before_run`. Returns true if there is a state.
    fn begin_run(&mut self, now: Instant) -> bool {
        if self.state.is_none() {
            self.make_state(now);
        }
        // The missing state tells why the hook has failed.
        let _ = self.around_run("before_run");
        self.state.is_some()
    }

    fn make_state(&mut self, now: Instant) {
        if self.failure.as_ref().is_some_and(|failure| now < failure.retry_at) {
            return;
        }
        match (self.shared.hooks.make)(self.index) {
            Ok(state) => {
                self.metrics().states.add(1);
                self.state = Some(state);
                self.failure = None;
            }
            Err(message) => self.fail(message, now),
        }
    }

    fn fail(&mut self, message: String, now: Instant) {
        let back_off = self.failure.as_ref().map_or(BACK_OFF_MIN, |failure| (failure.back_off * 2).min(BACK_OFF_MAX));
        self.failure = Some(Failure { message: message.into(), retry_at: now + back_off, back_off });
    }

    /// Calls a hook. A panic of the hook discards the state, and so does an error of `before_run`: no job may run then.
    ///
    /// # Errors
    ///
    /// The message of the failure.
    fn around_run(&mut self, which: &str) -> Result<(), String> {
        let hooks = &self.shared.hooks;
        let hook = if which == "before_run" { &hooks.before_run } else { &hooks.after_run };
        let (Some(hook), Some(state)) = (hook, &mut self.state) else { return Ok(()) };
        let text = match caught(|| hook(state)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(message)) if which == "after_run" => {
                let text = format!("{which} failed: {message}");
                self.report(&text);
                return Err(text);
            }
            Ok(Err(message)) => format!("{which} failed: {message}"),
            Err(message) => format!("{which} panicked: {message}"),
        };
        self.report(&text);
        self.drop_state();
        self.fail(text.clone(), self.io.now());
        Err(text)
    }

    fn drop_state(&mut self) {
        let state = self.state.take();
        if let Err(message) = caught(|| drop(state)) {
            self.report(&format!("dropping the state panicked: {message}"));
        }
    }

    fn pop(&mut self) -> Option<Popped<S>> {
        self.keyed_first = !self.keyed_first;
        if self.keyed_first {
            self.pop_keyed().or_else(|| self.pop_shared())
        } else {
            self.pop_shared().or_else(|| self.pop_keyed())
        }
    }

    fn pop_keyed(&self) -> Option<Popped<S>> {
        self.shared.keyed[self.index].pop(&self.keyed)
    }

    fn pop_shared(&self) -> Option<Popped<S>> {
        let queue = &self.shared.unkeyed;
        let popped = queue.pop(queue.carrier())?;
        self.shared.shared_job_taken();
        Some(popped)
    }

    /// Sleeps until it is woken. Returns false if there will be no more jobs.
    fn sleep(&mut self) -> bool {
        let wakes = &self.shared.wakes;
        self.stop_searching();
        wakes.announce_sleep(self.index);
        let ended = self.shared.may_end(self.index);
        if !ended && !self.has_jobs() {
            while wakes.is_asleep(self.index) && !self.look_for_tear_down() {
                self.io.park(None);
            }
        }
        self.searching = !wakes.cancel_sleep(self.index);
        if ended {
            self.stop_searching();
        }
        !ended
    }

    /// Called when the worker has found a job or goes to sleep.
    fn stop_searching(&mut self) {
        if mem::replace(&mut self.searching, false) {
            self.shared.wakes.stop_searching(|| self.shared.has_shared_jobs());
        }
    }

    fn has_jobs(&self) -> bool {
        !self.shared.keyed[self.index].carrier().is_empty() || self.shared.has_shared_jobs()
    }

    /// Closes the bridge if its runtime shuts down. Returns true if this call has closed it.
    fn look_for_tear_down(&self) -> bool {
        // Tear-down is sticky, so closing once is enough.
        if self.shared.is_closed() || current(|context| context.check(self.io)).is_ok() {
            return false;
        }
        self.shared.close();
        true
    }

    fn metrics(&self) -> &WorkerMetrics {
        &self.shared.worker_metrics[self.index]
    }

    fn report(&self, text: &str) {
        let line = format!("bridge {}: worker {}: {text}", self.shared.name, self.index);
        send_report(self.shared.hooks.report.as_ref(), &line);
    }
}
