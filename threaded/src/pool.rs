//! Who may run, on which thread, and until when: slots, workers, live tasks, shutdown.
//!
//! A task that has a slot never waits for another one to end: there is a worker for it, or it gets a
//! new one. A worker is there for the next task, and its slot is free, from the moment its task's
//! closure has ended, before the joiner can know. So after a join the slot is free, and there are never
//! more workers than slots. A task that asks for a larger stack than the workers have holds its slot on a
//! thread of its own.
//!
//! # Who begins a task of `spawn_async`
//!
//! A worker, or whoever joins the task before one came: it takes the job out of the [`Queue`], under
//! the same lock, and runs it as an inline child. That is right where a thread waits that belongs to this
//! pool or to none: it would only sleep otherwise, and a plain thread may be asked to run the tasks that
//! it spawns anyway. It is not on a fiber, whose executor the task might block, nor on a worker of
//! another pool, whose stack may be smaller than what this one promises. The task occupies its slot
//! until it has ended, wherever it runs.
//!
//! A joiner whose task was begun elsewhere sleeps. It runs no other task meanwhile: what it joined could
//! end, and would wait for that one.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iolite_io::backend::{Refused, SpawnMode, Start, TaskRef, Ticket, current, tell, tell_stuck};
use iolite_io::sync::{Event, Semaphore, SemaphorePermit};
use iolite_io::{
    Io, SpawnErrorKind,
    error::{ConcurrencyUnavailable, ShutDown},
};

use crate::options::Options;
use crate::queue::{Queue, Retired};
use crate::worker::{self, Seat};

/// Places to run: any thread is as good as another.
pub(crate) const EXECUTORS: usize = 1;

pub(crate) struct Pool {
    options: Options,
    concurrent_slots: Semaphore,
    state: Mutex<State>,
    /// Set when, after shutdown began, the last task and the last thread have ended.
    drained: Event,
    /// As `drained`, without its lock. Written once, before it; nothing hangs on when others see it.
    over: AtomicBool,
}

struct State {
    /// Shutdown has begun: nothing is admitted any more.
    closed: bool,
    /// How many more tasks of `spawn_async` may have a worker.
    async_slots: usize,
    /// Tasks that were admitted and whose closures have not ended, by number.
    live: HashMap<u64, TaskRef>,
    admitted: u64,
    queue: Queue<Job, Arc<Seat>>,
    /// All threads: workers, and those of tasks that have one of their own.
    threads: usize,
    workers_started: usize,
}

/// What a task occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Async,
    Concurrent,
    Uncounted,
}

/// A task on its way to a thread.
struct Job {
    start: Start,
    admission: Admission,
}

/// A live task's entry in the pool, given up when the task has ended.
struct Admission {
    pool: Arc<Pool>,
    number: u64,
    slot: Slot,
    /// A worker runs it, which is there for the next one when it has ended.
    on_worker: bool,
}

/// A thread that the pool counts, from before its start until its end, or until the system refuses it.
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
            concurrent_slots: Semaphore::new(options.concurrent_limit),
            state: Mutex::new(State {
                closed: false,
                async_slots: options.async_limit,
                live: HashMap::new(),
                admitted: 0,
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

    /// Whether shutdown has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Starts a task in the wanted way.
    ///
    /// # Cancellation
    ///
    /// A cancellation point for [`SpawnMode::Waiting`] while it waits.
    pub(crate) fn start(self: &Arc<Self>, io: &dyn Io, start: Start, how: SpawnMode) -> Result<(), Refused> {
        if let Err(invalid) = start.options().check_placement(EXECUTORS) {
            return Err(Refused { start, kind: invalid.into() });
        }
        match how {
            SpawnMode::Async => self.start_async(start),
            // Before the limits: no slot would become free.
            _ if self.state().closed => Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) }),
            SpawnMode::Concurrent => match self.concurrent_slots.try_acquire() {
                Some(permit) => self.start_concurrent(start, permit),
                None => Err(Refused { start, kind: self.concurrent_limit_reached() }),
            },
            // Nobody would ever free one.
            SpawnMode::Waiting if self.options.concurrent_limit == 0 => {
                Err(Refused { start, kind: self.concurrent_limit_reached() })
            }
            SpawnMode::Waiting => match self.concurrent_slots.acquire(io) {
                Ok(permit) => self.start_concurrent(start, permit),
                Err(canceled) => Err(Refused { start, kind: canceled.into() }),
            },
            SpawnMode::Thread => self.start_thread(start),
        }
    }

    /// What [`Io::try_run_inline`] does.
    pub(crate) fn try_run_inline(&self, ticket: Ticket) {
        if !current(|context| context.is_thread()) || self.is_called_by_task_of_another() {
            return;
        }
        let job = self.state().queue.remove(ticket);
        if let Some(job) = job {
            job.run_here();
        }
    }

    fn start_async(self: &Arc<Self>, start: Start) -> Result<(), Refused> {
        let mut state = self.state();
        let slot = state.take_async_slot();
        let may_run_inline = start.options().may_run_inline();
        if slot == Slot::Uncounted && !may_run_inline {
            drop(state);
            return Err(Refused { start, kind: limit_reached("async_limit", self.options.async_limit) });
        }
        let job = self.admit(&mut state, start, slot)?;
        if slot == Slot::Uncounted {
            drop(state);
            job.run_here();
            return Ok(());
        }
        if may_run_inline {
            job.start.offer(state.queue.next_ticket());
        }
        match self.hand_over(state, job) {
            Err((job, _)) if may_run_inline => {
                job.run_here();
                Ok(())
            }
            handed => handed.map_err(|(job, error)| self.refused_by_system(job, error)),
        }
    }

    fn start_concurrent(self: &Arc<Self>, start: Start, permit: SemaphorePermit<'_>) -> Result<(), Refused> {
        let mut state = self.state();
        let job = self.admit(&mut state, start, Slot::Concurrent)?;
        permit.forget();
        self.hand_over(state, job).map_err(|(job, error)| self.refused_by_system(job, error))
    }

    fn start_thread(self: &Arc<Self>, start: Start) -> Result<(), Refused> {
        let job = self.admit(&mut self.state(), start, Slot::Uncounted)?;
        self.spawn_once(job).map_err(|(job, error)| self.refused_by_system(job, error))
    }

    /// Starts a worker with its first job, which comes back when the system refuses.
    fn spawn_worker(self: &Arc<Self>, name: String, job: Job) -> Result<(), (Job, io::Error)> {
        self.spawn_thread(name, job, |pool, first| {
            let seat = Seat::take();
            first.run_on_worker();
            while let Some(job) = pool.next_job(&seat) {
                job.run_on_worker();
            }
        })
    }

    /// Starts a thread for one job, which comes back when the system refuses.
    fn spawn_once(self: &Arc<Self>, job: Job) -> Result<(), (Job, io::Error)> {
        let name = thread_name(job.start.task().name());
        self.spawn_thread(name, job, |_, job| job.run_here())
    }

    fn spawn_thread(self: &Arc<Self>, name: String, job: Job, body: fn(&Self, Job)) -> Result<(), (Job, io::Error)> {
        let stack_bytes = job.stack_bytes();
        let counted = CountedThread::new(self.clone());
        worker::spawn(name, stack_bytes, job, move |job| body(&counted.0, job))
    }

    fn concurrent_limit_reached(&self) -> SpawnErrorKind {
        limit_reached("concurrent_limit", self.options.concurrent_limit)
    }

    #[cold]
    fn refused_by_system(&self, job: Job, error: io::Error) -> Refused {
        let (limit, value) = match job.admission.slot {
            Slot::Async => ("async_limit", self.options.async_limit),
            Slot::Concurrent | Slot::Uncounted => ("concurrent_limit", self.options.concurrent_limit),
        };
        let error = ConcurrencyUnavailable::refused_by_system(limit, value, error);
        Refused { start: job.start, kind: SpawnErrorKind::ConcurrencyUnavailable(error) }
    }

    /// Enters a task among the live ones, with the slot that was taken for it.
    fn admit(self: &Arc<Self>, state: &mut State, start: Start, slot: Slot) -> Result<Job, Refused> {
        if state.closed {
            return Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) });
        }
        let number = state.admitted;
        state.admitted += 1;
        state.live.insert(number, start.task());
        Ok(Job { start, admission: Admission { pool: self.clone(), number, slot, on_worker: false } })
    }

    /// Leaves a job to the workers there are or to a new one or, if it needs a larger stack than those, to
    /// a thread of its own; it comes back when the system refuses.
    fn hand_over(self: &Arc<Self>, mut state: MutexGuard<'_, State>, job: Job) -> Result<(), (Job, io::Error)> {
        if job.stack_bytes() > self.options.stack_size {
            drop(state);
            return self.spawn_once(job);
        }
        match state.queue.push(job) {
            Ok(seat) => {
                drop(state);
                call(seat);
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

    /// The next job of the calling worker, which sleeps until there is one; `None` when it ends.
    fn next_job(&self, seat: &Arc<Seat>) -> Option<Job> {
        loop {
            let mut state = self.state();
            if let Some((job, next)) = state.queue.take() {
                drop(state);
                call(next);
                return Some(job);
            }
            if state.closed {
                state.queue.leave();
                return None;
            }
            state.queue.sleep(seat.clone());
            drop(state);
            if !seat.sleep(self.options.idle_timeout) {
                match self.state().queue.retire(|asleep| Arc::ptr_eq(asleep, seat)) {
                    Retired::Ends => return None,
                    Retired::Comes => {}
                    Retired::Called => seat.sleep_until_called(),
                }
            }
        }
    }

    /// Ends everything and waits for it; called by a task of this pool, which it cannot wait for, it
    /// reports that nobody does.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub(crate) fn shutdown(&self, io: &dyn Io) {
        let mut state = self.state();
        state.closed = true;
        let asleep = state.queue.call_all();
        let mut live: Vec<_> = state.live.iter().map(|(number, task)| (*number, task.clone())).collect();
        self.tell_if_drained(state);
        asleep.iter().for_each(|seat| seat.call());
        // Parents before those that they have started, which were admitted later.
        live.sort_unstable_by_key(|(number, _)| *number);
        live.iter().for_each(|(_, task)| task.tear_down());
        drop(live);
        if self.is_called_by_own_task() {
            let line = "the runtime was dropped by one of its own tasks: it shuts down, and nobody waits for it";
            tell(self.options.report.as_ref(), line);
            return;
        }
        // Shielded: neither a request to the caller nor its timeouts end this wait.
        io.shield(|io| {
            if io.timeout_at(io.now() + self.options.grace, |io| self.drained.wait(io)).is_err() {
                tell_stuck(self.options.report.as_ref(), &self.tasks(), self.options.grace);
                self.drained.wait_uncancelable(io);
            }
        });
    }

    /// The tasks that have not ended.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        self.state().live.values().cloned().collect()
    }

    /// Whether a task of this pool runs on the calling context.
    fn is_called_by_own_task(&self) -> bool {
        current(|context| context.is_in_runtime(self.address()))
    }

    /// Whether a task of another pool runs on the calling context, on top of those of this one.
    fn is_called_by_task_of_another(&self) -> bool {
        current(|context| context.innermost_runtime()).is_some_and(|runtime| runtime != self.address())
    }

    /// By which contexts know it.
    fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    fn tell_if_drained(&self, state: MutexGuard<'_, State>) {
        let drained = state.closed && state.live.is_empty() && state.threads == 0;
        drop(state);
        if drained {
            self.over.store(true, Ordering::Relaxed);
            self.drained.set();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn threads(&self) -> usize {
        self.state().threads
    }
}

impl State {
    fn take_async_slot(&mut self) -> Slot {
        match self.async_slots.checked_sub(1) {
            Some(left) => {
                self.async_slots = left;
                Slot::Async
            }
            None => Slot::Uncounted,
        }
    }
}

fn call(seat: Option<Arc<Seat>>) {
    if let Some(seat) = seat {
        seat.call();
    }
}

impl Job {
    /// The stack that its thread has to have, in bytes.
    fn stack_bytes(&self) -> usize {
        let wanted = self.start.options().stack_size.unwrap_or(0);
        wanted.max(self.admission.pool.options.stack_size)
    }

    /// Runs on the calling thread, which is no worker's or a worker's that stays busy.
    fn run_here(self) {
        let Job { start, admission } = self;
        current(|context| {
            let _running = context.enter_runtime(admission.pool.address());
            start.run_with(move || drop(admission));
        });
    }

    /// Runs on the calling worker, which is there for the next job when the closure has ended.
    fn run_on_worker(mut self) {
        self.admission.on_worker = true;
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
        let mut state = self.0.state();
        state.threads -= 1;
        self.0.tell_if_drained(state);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        let task = state.live.remove(&self.number);
        if self.on_worker {
            state.queue.job_ended();
        }
        if self.slot == Slot::Async {
            state.async_slots += 1;
        }
        self.pool.tell_if_drained(state);
        if self.slot == Slot::Concurrent {
            // Last: who takes the slot finds the worker.
            self.pool.concurrent_slots.add_permits(1);
        }
        drop(task);
    }
}

fn limit_reached(limit: &'static str, value: usize) -> SpawnErrorKind {
    SpawnErrorKind::ConcurrencyUnavailable(ConcurrencyUnavailable::limit_reached(limit, value))
}

/// A name that the system takes: without NUL, and short enough that Linux shows all of it.
fn thread_name(task: &str) -> String {
    task.chars()
        .filter(|char| *char != '\0')
        .scan(0, |bytes, char| {
            *bytes += char.len_utf8();
            (*bytes <= 15).then_some(char)
        })
        .collect()
}
