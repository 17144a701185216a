//! Who may run, on which thread, and until when: slots, idle workers, live tasks, shutdown.
//!
//! A task that has a slot never waits for a thread: it is handed to the worker that was idle for
//! the shortest time, or gets a new one. A worker counts as idle again, and its slot as free, from
//! the moment its task's closure has ended, before the joiner can know. So after a join the slot is
//! free, and there are never more workers than slots.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iolite_io::backend::{Refused, Start, StartHow, TaskRef};
use iolite_io::sync::{Event, Semaphore, SemaphorePermit};
use iolite_io::{ConcurrencyUnavailable, Io, ShutDown, SpawnErrorKind};

use crate::options::Options;
use crate::worker::{self, Seat};

/// How many tasks a report names.
const NAMES_MAX: usize = 10;

pub(crate) struct Pool {
    options: Options,
    async_slots: Semaphore,
    concurrent_slots: Semaphore,
    state: Mutex<State>,
    /// Set when, after shutdown began, the last task and the last thread have ended.
    drained: Event,
    /// As `drained`, without its lock. Written once, before it; nothing hangs on when others see it.
    over: AtomicBool,
}

thread_local! {
    /// The pools whose tasks run on this thread, innermost last: more than one where an inline task
    /// of one runs on top of a task of another.
    static RUNNING: RefCell<Vec<*const Pool>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct State {
    /// Shutdown has begun: nothing is admitted any more.
    closed: bool,
    /// Tasks that were admitted and whose closures have not ended, by number.
    live: HashMap<u64, TaskRef>,
    admitted: u64,
    /// The workers without a task, the one that was idle for the shortest time last.
    idle: Vec<Arc<Seat>>,
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
pub(crate) struct Job {
    start: Start,
    admission: Admission,
}

/// A live task's entry in the pool, given up when the task has ended.
struct Admission {
    pool: Arc<Pool>,
    number: u64,
    slot: Slot,
    /// The worker that runs it.
    seat: Option<Arc<Seat>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Pool")
            .field("options", &self.options)
            .field("live", &state.live.len())
            .field("idle", &state.idle.len())
            .field("threads", &state.threads)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            async_slots: Semaphore::new(options.async_limit),
            concurrent_slots: Semaphore::new(options.concurrent_limit),
            options,
            state: Mutex::default(),
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
    /// A cancellation point for [`StartHow::Waiting`] while it waits.
    pub(crate) fn start(self: &Arc<Self>, io: &dyn Io, start: Start, how: StartHow) -> Result<(), Refused> {
        if self.state().closed {
            return Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) });
        }
        match how {
            StartHow::Async => self.start_async(start),
            StartHow::Concurrent => match self.concurrent_slots.try_acquire() {
                Some(permit) => self.start_concurrent(start, permit),
                None => Err(Refused { start, kind: self.limit_reached() }),
            },
            // Nobody would ever free one.
            StartHow::Waiting if self.options.concurrent_limit == 0 => {
                Err(Refused { start, kind: self.limit_reached() })
            }
            StartHow::Waiting => match self.concurrent_slots.acquire(io) {
                Ok(permit) => self.start_concurrent(start, permit),
                Err(canceled) => Err(Refused { start, kind: canceled.into() }),
            },
            StartHow::Thread => self.start_thread(start),
        }
    }

    fn start_async(self: &Arc<Self>, start: Start) -> Result<(), Refused> {
        let slot = match self.async_slots.try_acquire() {
            Some(permit) => {
                permit.forget();
                Slot::Async
            }
            None => Slot::Uncounted,
        };
        let job = self.admit(start, slot)?;
        let inline = if slot == Slot::Async { self.hand_over(job).err().map(|(job, _)| job) } else { Some(job) };
        if let Some(job) = inline {
            job.run_inline();
        }
        Ok(())
    }

    fn start_concurrent(self: &Arc<Self>, start: Start, permit: SemaphorePermit<'_>) -> Result<(), Refused> {
        permit.forget();
        let job = self.admit(start, Slot::Concurrent)?;
        self.hand_over(job).map_err(|(job, error)| self.refused_by_system(job, error))
    }

    fn start_thread(self: &Arc<Self>, start: Start) -> Result<(), Refused> {
        let job = self.admit(start, Slot::Uncounted)?;
        let name = thread_name(job.start.task().name());
        worker::spawn_once(self, name, job).map_err(|(job, error)| self.refused_by_system(job, error))
    }

    fn limit_reached(&self) -> SpawnErrorKind {
        let limit = self.options.concurrent_limit;
        SpawnErrorKind::ConcurrencyUnavailable(ConcurrencyUnavailable::limit_reached("concurrent_limit", limit))
    }

    #[cold]
    fn refused_by_system(&self, job: Job, error: io::Error) -> Refused {
        let limit = self.options.concurrent_limit;
        let error = ConcurrencyUnavailable::refused_by_system("concurrent_limit", limit, error);
        Refused { start: job.start, kind: SpawnErrorKind::ConcurrencyUnavailable(error) }
    }

    /// Enters a task, whose slot is taken already, among the live ones.
    fn admit(self: &Arc<Self>, start: Start, slot: Slot) -> Result<Job, Refused> {
        let task = start.task();
        let mut state = self.state();
        if state.closed {
            drop(state);
            self.free(slot);
            return Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) });
        }
        let number = state.admitted;
        state.admitted += 1;
        state.live.insert(number, task);
        drop(state);
        Ok(Job { start, admission: Admission { pool: self.clone(), number, slot, seat: None } })
    }

    /// Gives a job to an idle worker or to a new one; it comes back when the system refuses.
    fn hand_over(self: &Arc<Self>, job: Job) -> Result<(), (Job, io::Error)> {
        let mut state = self.state();
        let Some(seat) = state.idle.pop() else {
            state.workers_started += 1;
            let name = format!("iolite-{}", state.workers_started);
            drop(state);
            return worker::spawn(self, name, job);
        };
        drop(state);
        seat.give(worker::Order::Run(job));
        Ok(())
    }

    /// Whether `seat` was idle; it is none any more, and its worker ends.
    pub(crate) fn retire(&self, seat: &Arc<Seat>) -> bool {
        let mut state = self.state();
        let index = state.idle.iter().position(|idle| Arc::ptr_eq(idle, seat));
        index.map(|index| state.idle.remove(index)).is_some()
    }

    pub(crate) fn thread_begins(&self) {
        self.state().threads += 1;
    }

    pub(crate) fn thread_ended(&self) {
        let mut state = self.state();
        state.threads -= 1;
        self.tell_if_drained(state);
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
        let idle = std::mem::take(&mut state.idle);
        let live: Vec<_> = state.live.values().cloned().collect();
        self.tell_if_drained(state);
        idle.iter().for_each(|seat| seat.give(worker::Order::Retire));
        live.iter().for_each(TaskRef::tear_down);
        drop(live);
        if self.is_called_by_own_task() {
            self.report("the runtime was dropped by one of its own tasks: it shuts down, and nobody waits for it");
            return;
        }
        // Shielded: neither a request to the caller nor its timeouts end this wait.
        io.protect(|io| {
            if self.drained.wait_deadline(io, io.now() + self.options.grace).is_err() {
                self.report_stuck();
                self.drained.wait_uncancelable(io);
            }
        });
    }

    /// Whether a task of this pool runs on the calling thread.
    fn is_called_by_own_task(&self) -> bool {
        RUNNING.try_with(|running| running.borrow().iter().any(|pool| ptr::eq(*pool, self))).unwrap_or(false)
    }

    fn report(&self, line: &str) {
        if let Some(report) = &self.options.report {
            report(line);
        }
    }

    #[cold]
    fn report_stuck(&self) {
        let mut live: Vec<_> = self.state().live.iter().map(|(number, task)| (*number, task.clone())).collect();
        if live.is_empty() {
            return;
        }
        live.sort_by_key(|(number, _)| *number);
        let names: Vec<_> = live.iter().take(NAMES_MAX).map(|(_, task)| task.name()).collect();
        let mut line = format!(
            "shutdown has waited {:?} for {} task(s) that do not end although they are canceled: {}",
            self.options.grace,
            live.len(),
            names.join(", "),
        );
        if live.len() > NAMES_MAX {
            let _ = write!(line, " and {} more", live.len() - NAMES_MAX);
        }
        self.report(&line);
    }

    fn tell_if_drained(&self, state: MutexGuard<'_, State>) {
        let drained = state.closed && state.live.is_empty() && state.threads == 0;
        drop(state);
        if drained {
            self.over.store(true, Ordering::Relaxed);
            self.drained.set();
        }
    }

    fn free(&self, slot: Slot) {
        match slot {
            Slot::Async => self.async_slots.release(),
            Slot::Concurrent => self.concurrent_slots.release(),
            Slot::Uncounted => {}
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

impl Job {
    /// Runs on the calling thread, which is no worker's or a worker's that counts as busy.
    fn run_inline(self) {
        let Job { start, admission } = self;
        let _running = Running::begin(&admission.pool);
        start.run_with(move || drop(admission));
    }

    /// Runs on the calling worker, which counts as idle again when the closure has ended.
    pub(crate) fn run_on(mut self, seat: &Arc<Seat>) {
        self.admission.seat = Some(seat.clone());
        self.run_inline();
    }

    /// Runs on a thread of its own.
    pub(crate) fn run_once(self) {
        self.run_inline();
    }
}

/// A task of a pool runs on this thread until it drops.
struct Running;

impl Running {
    fn begin(pool: &Arc<Pool>) -> Self {
        RUNNING.with_borrow_mut(|running| running.push(Arc::as_ptr(pool)));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        let task = state.live.remove(&self.number);
        let retiring = match self.seat.take() {
            Some(seat) if state.closed => Some(seat),
            Some(seat) => {
                state.idle.push(seat);
                None
            }
            None => None,
        };
        self.pool.tell_if_drained(state);
        if let Some(seat) = retiring {
            seat.give(worker::Order::Retire);
        }
        // After the worker counts as idle: who takes the slot finds the worker.
        self.pool.free(self.slot);
        drop(task);
    }
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
