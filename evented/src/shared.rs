//! What the executors of a runtime share: limits, tasks that have not started, the end.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use crossbeam_queue::SegQueue;
use iolite_io::backend::{BlockingPool, Refused, Start, StartHow, TaskRef, current, guard_panic_hook};
use iolite_io::sync::Semaphore;
use iolite_io::{ConcurrencyUnavailable, Io, ShutDown, SpawnErrorKind, no_suspend};

use crate::executor::Executor;
use crate::executor::remote::Remote;
use crate::fiber::stack::{FiberStack, stacks_max};
use crate::options::Options;
use crate::ring::Features;

/// A runtime, as its executors, its handles and its tasks know it.
pub(crate) struct Shared {
    this: Weak<Shared>,
    options: Options,
    executors: Vec<Queue>,
    async_slots: AtomicUsize,
    concurrent_slots: Semaphore,
    /// Tasks that were accepted and have not ended. SeqCst, with `closing`: a starter counts and
    /// then looks whether the runtime closes; the last executor sees it closing and then counts.
    live: AtomicUsize,
    closing: AtomicBool,
    /// Operations of foreign contexts that have not ended. SeqCst, with `closed`, as above.
    foreign: AtomicUsize,
    closed: AtomicBool,
    /// Where the next foreign operation or task goes.
    next: AtomicUsize,
    /// Tasks on threads of their own, and inline ones on threads that are not the runtime's.
    threads: Mutex<Vec<TaskRef>>,
    names: BlockingPool,
    features: OnceLock<Features>,
    reported: AtomicBool,
}

thread_local! {
    /// The runtime whose task runs on this thread, which is none of its executors'.
    static THREAD_OF: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

/// The tasks that were given to one executor and have not started: any executor may take them.
struct Queue {
    remote: &'static Remote,
    /// The remote may be another executor's by now, and must not be given back again.
    given_back: AtomicBool,
    unstarted: SegQueue<Unstarted>,
}

impl Queue {
    fn give_back(&self) {
        if !self.given_back.swap(true, Ordering::AcqRel) {
            self.remote.give_back();
        }
    }
}

impl Drop for Queue {
    /// Its executor may never have been made.
    fn drop(&mut self) {
        self.give_back();
    }
}

/// An accepted task on its way to a fiber, with what its end gives back.
pub(crate) struct Unstarted {
    pub(crate) start: Start,
    slot: Slot,
    shared: Arc<Shared>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Async,
    Concurrent,
    /// Counted against no limit: the main task, tasks on threads of their own.
    Uncounted,
}

impl Unstarted {
    /// Runs the task, to its end.
    pub(crate) fn run(self) {
        let Self { start, slot, shared } = self;
        start.run_with(|| shared.release(slot));
        shared.ended();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("live", &self.live)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(mut options: Options) -> io::Result<Arc<Self>> {
        options.check()?;
        guard_panic_hook();
        cap_limits(&mut options)?;
        let executors = (0..options.executors)
            .map(|_| {
                Ok(Queue { remote: Remote::take()?, given_back: AtomicBool::new(false), unstarted: SegQueue::new() })
            })
            .collect::<io::Result<_>>()?;
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            executors,
            async_slots: AtomicUsize::new(options.async_limit),
            concurrent_slots: Semaphore::new(options.concurrent_limit),
            live: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            foreign: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            threads: Mutex::default(),
            names: BlockingPool::new("iolite-names", BlockingPool::LIMIT_DEFAULT),
            features: OnceLock::new(),
            reported: AtomicBool::new(false),
            options,
        }))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn this(&self) -> Option<Arc<Shared>> {
        self.this.upgrade()
    }

    pub(crate) fn names(&self) -> &BlockingPool {
        &self.names
    }

    pub(crate) fn remote(&self, index: usize) -> &'static Remote {
        self.executors[index].remote
    }

    /// Lets later executors use the remote of one that has ended.
    pub(crate) fn give_remote_back(&self, index: usize) {
        self.executors[index].give_back();
    }

    /// Whether the caller is a task of this runtime, or a destructor on one of its executors.
    pub(crate) fn is_called_by_own_task(&self) -> bool {
        Executor::with_current(|executor| executor.belongs_to(self)) == Some(true) || ptr::eq(THREAD_OF.get(), self)
    }

    pub(crate) fn set_features(&self, features: Features) {
        let _ = self.features.set(features);
    }

    pub(crate) fn features(&self) -> String {
        self.features.get().map(Features::names).unwrap_or_default()
    }

    /// Accepts a task, or gives it back.
    pub(crate) fn start(&self, io: &dyn Io, start: Start, how: StartHow) -> Result<(), Refused> {
        let slot = match how {
            StartHow::Async if self.take_async_slot() => Slot::Async,
            StartHow::Async if Executor::with_current(|executor| executor.belongs_to(self)) == Some(true) => {
                // On top of a task of this runtime, which is waited for and passes tear-down on.
                start.run();
                return Ok(());
            }
            StartHow::Async => Slot::Uncounted,
            StartHow::Concurrent => match self.concurrent_slots.try_acquire() {
                Some(permit) => {
                    permit.forget();
                    Slot::Concurrent
                }
                None => {
                    let limit = self.options.concurrent_limit;
                    let error = ConcurrencyUnavailable::limit_reached("concurrent_limit", limit);
                    return Err(Refused { start, kind: SpawnErrorKind::ConcurrencyUnavailable(error) });
                }
            },
            StartHow::Waiting => match self.concurrent_slots.acquire(io) {
                Ok(permit) => {
                    permit.forget();
                    Slot::Concurrent
                }
                Err(canceled) => return Err(Refused { start, kind: canceled.into() }),
            },
            StartHow::Thread => Slot::Uncounted,
        };
        let unstarted = match self.accept(start, slot) {
            Ok(unstarted) => unstarted,
            Err(start) => {
                self.release(slot);
                return Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) });
            }
        };
        match how {
            StartHow::Thread => return self.start_thread(unstarted),
            StartHow::Async if slot == Slot::Uncounted => {
                // Inline, on a thread that is not the runtime's.
                let task = self.register_thread(&unstarted);
                unstarted.run_on_thread(&task);
            }
            StartHow::Async | StartHow::Concurrent | StartHow::Waiting => self.enqueue(unstarted, how),
        }
        Ok(())
    }

    /// Counts a task in, unless the runtime closes.
    pub(crate) fn accept(&self, start: Start, slot: Slot) -> Result<Unstarted, Start> {
        let Some(shared) = self.this() else { return Err(start) };
        self.live.fetch_add(1, Ordering::SeqCst);
        if self.is_closing() {
            self.ended();
            return Err(start);
        }
        Ok(Unstarted { start, slot, shared })
    }

    fn enqueue(&self, unstarted: Unstarted, how: StartHow) {
        match Executor::with_current(|executor| executor.belongs_to(self).then(|| executor.index())).flatten() {
            Some(own) => {
                let queue = &self.executors[own].unstarted;
                queue.push(unstarted);
                // A task that has to make progress beside its parent is offered to whoever sleeps;
                // one whose order does not matter only when they pile up.
                if how != StartHow::Async || queue.len() > 1 {
                    self.wake_a_sleeper(own);
                }
            }
            None => {
                let target = self.next_executor();
                self.executors[target].unstarted.push(unstarted);
                if !self.executors[target].remote.wake_executor() {
                    // It is busy; somebody who is not may take the task.
                    self.wake_a_sleeper(target);
                }
            }
        }
    }

    fn wake_a_sleeper(&self, except: usize) {
        let mut others = self.executors.iter().enumerate().filter(|(index, _)| *index != except);
        others.any(|(_, queue)| queue.remote.wake_executor());
    }

    fn start_thread(&self, unstarted: Unstarted) -> Result<(), Refused> {
        let task = self.register_thread(&unstarted);
        // An interior NUL is a panic of std's.
        let name = task.name().replace('\0', "");
        // The task leaves the closure if the system gives no thread.
        let slot = Arc::new(Mutex::new(Some(unstarted)));
        let handed = slot.clone();
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let unstarted = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(unstarted) = unstarted {
                unstarted.run_on_thread(&task);
            }
        });
        match spawned {
            Ok(_) => Ok(()),
            Err(error) => {
                let unstarted = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let unstarted = unstarted.expect("no thread took it");
                self.forget_thread(&unstarted.start.task());
                self.ended();
                let error = ConcurrencyUnavailable::refused_by_system("threads", 1, error);
                Err(Refused { start: unstarted.start, kind: SpawnErrorKind::ConcurrencyUnavailable(error) })
            }
        }
    }

    /// Remembers a task that runs on no executor, so that shutdown reaches it.
    fn register_thread(&self, unstarted: &Unstarted) -> TaskRef {
        let task = unstarted.start.task();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(task.clone());
        if self.is_closing() {
            // `close` may have looked before the push.
            task.tear_down();
        }
        task
    }

    fn forget_thread(&self, task: &TaskRef) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != task);
    }

    /// The next task for executor `own`: one of its own, or, if it may steal, another's.
    pub(crate) fn next_unstarted(&self, own: usize, steal: bool) -> Option<Unstarted> {
        let count = if steal { self.executors.len() } else { 1 };
        let order = (own..self.executors.len()).chain(0..own);
        order.take(count).find_map(|index| self.executors[index].unstarted.pop())
    }

    /// Whether some executor has tasks that have not started.
    pub(crate) fn has_unstarted(&self) -> bool {
        self.executors.iter().any(|queue| !queue.unstarted.is_empty())
    }

    pub(crate) fn put_back(&self, own: usize, unstarted: Unstarted) {
        self.executors[own].unstarted.push(unstarted);
    }

    /// Hands an operation to some executor. [`end_foreign`](Self::end_foreign) has to follow its
    /// completion.
    pub(crate) fn begin_foreign(&self) -> Result<&'static Remote, ShutDown> {
        self.foreign.fetch_add(1, Ordering::SeqCst);
        if self.is_closed() {
            self.end_foreign();
            return Err(ShutDown);
        }
        Ok(self.remote(self.next_executor()))
    }

    pub(crate) fn end_foreign(&self) {
        if self.foreign.fetch_sub(1, Ordering::SeqCst) == 1 && self.is_closed() {
            self.wake_all();
        }
    }

    pub(crate) fn has_no_foreign(&self) -> bool {
        self.foreign.load(Ordering::SeqCst) == 0
    }

    /// Begins to shut down: no task is accepted any more, those that live are torn down.
    pub(crate) fn close(&self) {
        if !self.closing.swap(true, Ordering::SeqCst) {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).clone();
            threads.iter().for_each(TaskRef::tear_down);
            self.wake_all();
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Whether the runtime closes and every task has ended.
    pub(crate) fn is_closed(&self) -> bool {
        if self.closed.load(Ordering::SeqCst) {
            return true;
        }
        let closed = self.is_closing() && self.live.load(Ordering::SeqCst) == 0;
        if closed {
            // No task can be accepted any more, so this stays true.
            self.closed.store(true, Ordering::SeqCst);
        }
        closed
    }

    /// Names the tasks that do not end.
    pub(crate) fn report_stuck(&self, tasks: impl Iterator<Item = TaskRef>) {
        let own: Vec<_> = tasks.collect();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for task in own.iter().chain(&threads) {
            self.tell(&format!(
                "shutdown: the task `{}` was asked to stop and has not ended after {:?}; still waiting for it",
                task.name(),
                self.options.grace,
            ));
        }
    }

    pub(crate) fn report_once(&self, text: &str) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            self.tell(text);
        }
    }

    /// Reports. What the program makes of it must neither suspend nor unwind whoever has to tell.
    pub(crate) fn tell(&self, text: &str) {
        if let Some(report) = &self.options.report
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| no_suspend(|| report(text))))
        {
            // Its hook has told it; its destructor may panic again.
            mem::forget(panic);
        }
    }

    fn take_async_slot(&self) -> bool {
        self.async_slots.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |slots| slots.checked_sub(1)).is_ok()
    }

    fn release(&self, slot: Slot) {
        match slot {
            Slot::Async => {
                self.async_slots.fetch_add(1, Ordering::AcqRel);
            }
            Slot::Concurrent => self.concurrent_slots.release(),
            Slot::Uncounted => {}
        }
    }

    /// Counts a task out.
    fn ended(&self) {
        if self.live.fetch_sub(1, Ordering::SeqCst) == 1 && self.is_closing() {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        for queue in &self.executors {
            queue.remote.wake_executor();
        }
    }

    fn next_executor(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.executors.len()
    }
}

impl Unstarted {
    /// Runs a registered task on the calling context, which is no fiber of this runtime.
    fn run_on_thread(self, task: &TaskRef) {
        /// Counts the task out, also where inline tasks nest too deep and it never runs.
        struct Registered<'a> {
            shared: &'a Shared,
            task: &'a TaskRef,
            outer: Option<*const Shared>,
        }
        impl Drop for Registered<'_> {
            fn drop(&mut self) {
                if let Some(outer) = self.outer {
                    THREAD_OF.set(outer);
                }
                self.shared.forget_thread(self.task);
                self.shared.ended();
            }
        }
        let Self { start, slot, shared } = self;
        // A fiber of another runtime shares its thread with others.
        let outer = current(|context| context.is_thread()).then(|| THREAD_OF.replace(&*shared));
        let _registered = Registered { shared: &shared, task, outer };
        start.run_with(|| shared.release(slot));
    }
}

/// Lowers the limits to the stacks that this process can guard, and says so.
fn cap_limits(options: &mut Options) -> io::Result<()> {
    let stack = FiberStack::take(options.stack_size)?;
    // SAFETY: nothing ran on it.
    #[allow(unsafe_code)]
    unsafe {
        FiberStack::give_back(vec![stack]);
    }
    let Some(max) = stacks_max() else { return Ok(()) };
    if options.async_limit.saturating_add(options.concurrent_limit) > max {
        options.async_limit = options.async_limit.min(max / 2);
        options.concurrent_limit = options.concurrent_limit.min(max / 2);
        if let Some(report) = &options.report {
            report(&format!(
                "this kernel guards stacks by mprotect, and vm.max_map_count allows {max} of them: async_limit is now \
                 {}, concurrent_limit {}; raise the sysctl or use Linux 6.13 or later",
                options.async_limit, options.concurrent_limit,
            ));
        }
    }
    Ok(())
}
