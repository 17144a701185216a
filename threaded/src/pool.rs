//! Slots, workers, live tasks and the shutdown: which task may run, on which thread, and until when.
//!
//! A task that has a slot never waits for another task to end: there is a worker for it, or it gets a new one. As soon
//! as a task's closure has ended, and before the joiner can know, its worker is available to the next task and its slot
//! is free. So after a join the slot is free, and there are never more workers than slots. A task that asks for a
//! larger stack than the workers have holds its slot on a thread of its own.
//!
//! # Beginning a task of `spawn_async`
//!
//! Either a worker begins it, or a joiner of the task if no worker has come before. The joiner takes the job out of the
//! [`Queue`], under the same lock, and runs it as an inline child. That is right on a thread that belongs to this pool
//! or to none: it would only sleep otherwise, and a plain thread may have to run the tasks that it spawns anyway. It is
//! wrong on a fiber, because the task might block its executor. It is also wrong on a worker of another pool, because
//! its stack may be smaller than this pool promises. The task occupies its slot until it has ended, wherever it runs.
//!
//! A joiner whose task was begun elsewhere sleeps. It runs no other task in the meantime: the task that it joins could
//! end and would have to wait for that other task.

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use iolite_io::backend::{
    Admission, LiveIndex, LiveTasks, Lock, Refused, ShutdownReport, Slot, SpawnMode, Start, TaskRef, Ticket, current,
    spawn_with,
};
use iolite_io::sync::Event;
use iolite_io::{Io, SpawnErrorKind};

use crate::options::Options;
use crate::queue::{Queue, Retired};
use crate::worker::Worker;

/// The number of places to run: all threads are equivalent.
pub(crate) const EXECUTORS: usize = 1;

pub(crate) struct Pool {
    options: Options,
    admission: Admission,
    report: ShutdownReport,
    state: Lock<State>,
    /// Set when, after the shutdown has begun, the last task and the last thread have ended.
    drained: Event,
    /// True once `drained` is set, for code that checks it without a lock. Relaxed: it publishes nothing, and is
    /// written once.
    over: AtomicBool,
}

struct State {
    /// The tasks that were admitted and whose closures have not ended.
    live: LiveTasks,
    queue: Queue<Job, Arc<Worker>>,
    /// The number of all threads: workers, and threads of tasks that have one of their own.
    threads: usize,
    workers_started: usize,
}

/// A task on its way to a thread.
struct Job {
    start: Start,
    entry: Entry,
}

/// A live task's entry in the pool. It is removed when the task has ended.
struct Entry {
    pool: Arc<Pool>,
    index: LiveIndex,
    slot: Slot,
    /// True if a worker runs the task; the worker is available to the next one when the task has ended.
    on_worker: bool,
}

/// A thread that the pool counts from before its start until its end, or until the system refuses to start it.
struct CountedThread(Arc<Pool>);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Pool")
            .field("options", &self.options)
            .field("live", &state.live.len())
            .field("asleep", &state.queue.asleep())
            .field("threads", &state.threads)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            admission: Admission::new(options.async_limit, options.concurrent_limit),
            report: ShutdownReport::new(options.report.clone(), options.grace),
            state: Lock::new(State {
                live: LiveTasks::default(),
                queue: Queue::default(),
                threads: 0,
                workers_started: 0,
            }),
            options,
            drained: Event::new(),
            over: AtomicBool::new(false),
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns true if the shutdown has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Starts a task in the requested mode.
    ///
    /// # Cancellation
    ///
    /// A cancellation point for [`SpawnMode::Waiting`] while it waits.
    pub(crate) fn start(self: &Arc<Self>, io: &dyn Io, start: Start, how: SpawnMode) -> Result<(), Refused> {
        if let Err(invalid) = start.options().check_placement(EXECUTORS) {
            return Err(Refused { start, kind: invalid.into() });
        }
        let slot = match self.admission.take(io, &start, how) {
            Ok(slot) => slot,
            Err(kind) => return Err(Refused { start, kind }),
        };
        let (state, job) = self.admit(start, slot)?;
        let refused = match (how, slot) {
            (SpawnMode::Thread, _) => {
                drop(state);
                self.spawn_once(job).err()
            }
            (SpawnMode::Async, Slot::Uncounted) => {
                drop(state);
                job.run_here();
                None
            }
            (SpawnMode::Async, _) if job.start.options().may_run_inline() => {
                job.start.offer(state.queue.next_ticket());
                if let Err((job, _)) = self.hand_over(state, job) {
                    job.run_here();
                }
                None
            }
            (SpawnMode::Async | SpawnMode::Concurrent | SpawnMode::Waiting, _) => self.hand_over(state, job).err(),
        };
        match refused {
            Some((Job { start, entry }, error)) => {
                Err(Refused { start, kind: self.admission.refused_by_system(entry.slot, error) })
            }
            None => Ok(()),
        }
    }

    /// Implements [`Io::try_run_inline`].
    pub(crate) fn try_run_inline(&self, ticket: Ticket) {
        if !current(|context| context.is_thread()) || self.is_called_by_task_of_another() {
            return;
        }
        let job = self.state().queue.remove(ticket);
        if let Some(job) = job {
            job.run_here();
        }
    }

    /// Starts a worker with its first job. Returns the job if the system refuses.
    fn spawn_worker(self: &Arc<Self>, name: String, job: Job) -> Result<(), (Job, io::Error)> {
        self.spawn_thread(&name, job, |pool, first| {
            let worker = Worker::of_this_thread();
            first.run_on_worker();
            while let Some(job) = pool.next_job(&worker) {
                job.run_on_worker();
            }
        })
    }

    /// Starts a thread for one job. Returns the job if the system refuses.
    fn spawn_once(self: &Arc<Self>, job: Job) -> Result<(), (Job, io::Error)> {
        let task = job.start.task();
        self.spawn_thread(task.name(), job, |_, job| job.run_here())
    }

    fn spawn_thread(self: &Arc<Self>, name: &str, job: Job, body: fn(&Self, Job)) -> Result<(), (Job, io::Error)> {
        let stack_bytes = job.stack_bytes();
        let counted = CountedThread::new(self.clone());
        spawn_with(name, Some(stack_bytes), job, move |job| body(&counted.0, job))
    }

    /// Adds a task to the live ones, with the slot that was taken for it.
    fn admit(self: &Arc<Self>, start: Start, slot: Slot) -> Result<(MutexGuard<'_, State>, Job), Refused> {
        let mut state = self.state();
        // This is under the lock: the shutdown closes the admission, and then looks for live tasks under the lock.
        if let Err(over) = self.admission.admit(slot) {
            drop(state);
            self.release(slot);
            return Err(Refused { start, kind: SpawnErrorKind::ShutDown(over) });
        }
        let index = state.live.enter(start.task());
        let entry = Entry { pool: self.clone(), index, slot, on_worker: false };
        Ok((state, Job { start, entry }))
    }

    /// Leaves a job to the existing workers or to a new one or, if it needs a larger stack than theirs, to a thread of
    /// its own. Returns the job if the system refuses.
    fn hand_over(self: &Arc<Self>, mut state: MutexGuard<'_, State>, job: Job) -> Result<(), (Job, io::Error)> {
        if job.stack_bytes() > self.options.stack_size {
            drop(state);
            return self.spawn_once(job);
        }
        match state.queue.push(job) {
            Ok(worker) => {
                drop(state);
                call(worker);
                Ok(())
            }
            Err(job) => {
                state.workers_started += 1;
                let name = format!("iolite-{}", state.workers_started);
                drop(state);
                self.spawn_worker(name, job)
            }
        }
    }

    /// Returns the next job of the calling worker, which sleeps until there is one, or `None` if the worker has to end.
    fn next_job(&self, worker: &Arc<Worker>) -> Option<Job> {
        loop {
            let mut state = self.state();
            if let Some((job, next)) = state.queue.take() {
                drop(state);
                call(next);
                return Some(job);
            }
            if self.admission.is_closing() {
                state.queue.leave();
                return None;
            }
            state.queue.sleep(worker.clone());
            drop(state);
            if !worker.sleep(self.options.idle_timeout) {
                match self.state().queue.retire(|asleep| Arc::ptr_eq(asleep, worker)) {
                    Retired::Ends => return None,
                    Retired::Comes => {}
                    Retired::Called => worker.sleep_until_called(),
                }
            }
        }
    }

    /// Ends everything and waits for it. If a task of this pool calls this, it cannot wait for itself, and reports that
    /// nobody waits.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub(crate) fn shutdown(&self, io: &dyn Io) {
        self.admission.close();
        let mut state = self.state();
        let (asleep, live) = (state.queue.call_all(), state.live.all());
        drop(state);
        self.tell_if_drained();
        asleep.iter().for_each(|worker| worker.call());
        live.iter().for_each(TaskRef::tear_down);
        drop(live);
        if self.is_called_by_own_task() {
            self.report.send_dropped_by_own_task();
            return;
        }
        // Shielded: neither a request to the caller nor its timeouts end this wait.
        io.shield(|io| {
            if io.timeout_at(io.now() + self.report.grace(), |io| self.drained.wait(io)).is_err() {
                self.report.name_stuck(&self.tasks());
                self.drained.wait_uncancelable(io);
            }
        });
    }

    /// Returns the tasks that have not ended.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        self.state().live.all()
    }

    /// Returns true if a task of this pool runs on the calling context.
    fn is_called_by_own_task(&self) -> bool {
        current(|context| context.is_in_runtime(self.address()))
    }

    /// Returns true if a task of another pool runs on the calling context, on top of tasks of this one.
    fn is_called_by_task_of_another(&self) -> bool {
        current(|context| context.innermost_runtime()).is_some_and(|runtime| runtime != self.address())
    }

    /// Returns the address by which contexts identify this pool.
    fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Counts a task out.
    fn release(&self, slot: Slot) {
        if self.admission.release(slot) {
            self.tell_if_drained();
        }
    }

    /// Ends the wait of the shutdown once the last task and the last thread have ended.
    fn tell_if_drained(&self) {
        // Tasks are checked first: the code that starts a thread has a task until then.
        if self.admission.is_over() && self.state().threads == 0 {
            self.over.store(true, Ordering::Relaxed);
            self.drained.set();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    #[cfg(test)]
    pub(crate) fn threads(&self) -> usize {
        self.state().threads
    }
}

fn call(worker: Option<Arc<Worker>>) {
    if let Some(worker) = worker {
        worker.call();
    }
}

impl Job {
    /// Returns the size of the stack that the task's thread must have, in bytes.
    fn stack_bytes(&self) -> usize {
        let wanted = self.start.options().stack_size.unwrap_or(0);
        wanted.max(self.entry.pool.options.stack_size)
    }

    /// Runs on the calling thread, which is either not a worker, or a worker that stays busy.
    fn run_here(self) {
        let Job { start, entry } = self;
        current(|context| {
            let _running = context.enter_runtime(entry.pool.address());
            start.run_with(move || drop(entry));
        });
    }

    /// Runs on the calling worker, which is available to the next job when the closure has ended.
    fn run_on_worker(mut self) {
        self.entry.on_worker = true;
        self.run_here();
    }
}

impl CountedThread {
    fn new(pool: Arc<Pool>) -> Self {
        pool.state().threads += 1;
        Self(pool)
    }
}

impl Drop for CountedThread {
    fn drop(&mut self) {
        self.0.state().threads -= 1;
        self.0.tell_if_drained();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        let task = state.live.remove(self.index);
        if self.on_worker {
            state.queue.job_ended();
        }
        drop(state);
        // This comes last: a task that takes the slot finds the worker.
        self.pool.release(self.slot);
        drop(task);
    }
}
