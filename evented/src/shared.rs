//! What the executors of a runtime share: limits, tasks that have not started, the end.

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;

use iolite_io::backend::{
    BlockingPool, Closing, Count, Lookups, Mounts, Refused, SpawnMode, Start, TaskRef, Ticket, current,
    guard_panic_hook, make_room_for_descriptors, tell, tell_stuck,
};
use iolite_io::sync::Semaphore;
use iolite_io::{
    Io, SpawnErrorKind,
    error::{ConcurrencyUnavailable, ShutDown},
    task::Placement,
};
use slab::Slab;

use crate::executor::Executor;
use crate::executor::foreign::Message;
use crate::executor::remote::Remote;
use crate::fiber::stack::{FiberStack, SizeClass, stacks_max};
use crate::options::Options;
use crate::placement::{Own, Place, Queues};
use crate::ring::Features;

/// A runtime, as its executors, its handles and its tasks know it.
pub(crate) struct Shared {
    this: Weak<Shared>,
    options: Options,
    executors: Vec<Seat>,
    /// Tasks that have not started; but where there is one executor, it keeps those of its own fibers.
    unstarted: Queues<Unstarted>,
    /// Tasks that were accepted and have not ended: as many as slots are taken, and those that are
    /// counted against no limit. A starter counts and then looks whether the runtime closes; the last executor
    /// sees it closing and then looks at these: see [`Closing`].
    async_slots: Semaphore,
    concurrent_slots: Semaphore,
    uncounted: Count,
    closing: Closing,
    /// Executors that were made and have not ended.
    alive: Count,
    /// Operations of foreign contexts that have not ended; with `closed`, as above.
    foreign: Count,
    closed: Closing,
    /// Tasks on threads of their own, and inline ones on threads that are not the runtime's.
    threads: Mutex<Vec<TaskRef>>,
    names: Lookups,
    closures: BlockingPool,
    files: BlockingPool,
    mounts: Mounts,
    features: OnceLock<Features>,
    reported: AtomicBool,
    stuck_reported: AtomicBool,
}

/// How many calls on files that the rings cannot perform go on at the same time; more wait.
const FILE_THREADS: usize = 64;

/// What stands for one executor.
struct Seat {
    remote: &'static Remote,
    /// The tasks of its fibers, where anybody can look.
    tasks: Mutex<Slab<TaskRef>>,
    /// The remote may be another executor's by now, and must not be given back again.
    given_back: AtomicBool,
}

impl Seat {
    fn tasks(&self) -> MutexGuard<'_, Slab<TaskRef>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        // Relaxed: the update decides who gives it back, and nothing else.
        if !self.given_back.swap(true, Ordering::Relaxed) {
            self.remote.give_back();
        }
    }
}

impl Drop for Seat {
    /// Its executor may never have been made.
    fn drop(&mut self) {
        self.give_back();
    }
}

/// An accepted task on its way to a fiber, with what its end gives back.
pub(crate) struct Unstarted {
    pub(crate) start: Start,
    slot: Slot,
    /// It was handed to an executor that slept.
    handed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Async,
    Concurrent,
    /// Counted against no limit: the main task, tasks on threads of their own.
    Uncounted,
}

impl Unstarted {
    /// Runs the task, to its end, on a context of an executor of `shared`.
    pub(crate) fn run(self, shared: &Shared) {
        let Self { start, slot, .. } = self;
        start.run_with(|| shared.release(slot));
    }

    /// Whether it may go to another executor than the one that is about to begin it.
    pub(crate) fn may_be_handed_over(&self) -> bool {
        !self.handed && self.start.options().placement == Placement::Anywhere
    }

    /// Makes the task its joiner's to begin, wherever it joins, once it is queued under `ticket`.
    pub(crate) fn offer(&self, ticket: Ticket) {
        let options = self.start.options();
        if self.slot == Slot::Async && options.may_run_inline() && options.placement == Placement::Anywhere {
            self.start.offer(ticket);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("async_slots", &self.async_slots.available())
            .field("concurrent_slots", &self.concurrent_slots.available())
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(mut options: Options) -> io::Result<Arc<Self>> {
        options.check()?;
        guard_panic_hook();
        make_room_for_descriptors();
        cap_limits(&mut options)?;
        options.async_limit = options.async_limit.min(Semaphore::PERMITS_MAX);
        options.concurrent_limit = options.concurrent_limit.min(Semaphore::PERMITS_MAX);
        let executors = (0..options.executors)
            .map(|_| Ok(Seat { remote: Remote::take()?, tasks: Mutex::default(), given_back: AtomicBool::new(false) }))
            .collect::<io::Result<_>>()?;
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            executors,
            unstarted: Queues::new(options.executors),
            async_slots: Semaphore::new(options.async_limit),
            concurrent_slots: Semaphore::new(options.concurrent_limit),
            uncounted: Count::new(0),
            closing: Closing::default(),
            alive: Count::new(0),
            foreign: Count::new(0),
            closed: Closing::default(),
            threads: Mutex::default(),
            names: Lookups::new(options.lookup_limit, options.lookup_timeout),
            closures: BlockingPool::new("iolite-offload", options.offload_limit),
            files: BlockingPool::new("iolite-files", FILE_THREADS),
            mounts: Mounts::default(),
            features: OnceLock::new(),
            reported: AtomicBool::new(false),
            stuck_reported: AtomicBool::new(false),
            options,
        }))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn this(&self) -> Option<Arc<Shared>> {
        self.this.upgrade()
    }

    pub(crate) fn names(&self) -> &Lookups {
        &self.names
    }

    /// For closures of the program, which may wait for anything.
    pub(crate) fn closures(&self) -> &BlockingPool {
        &self.closures
    }

    /// For calls on files, which wait for the file system alone, and not for each other.
    pub(crate) fn files(&self) -> &BlockingPool {
        &self.files
    }

    /// What is known of mounts.
    pub(crate) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    pub(crate) fn remote(&self, index: usize) -> &'static Remote {
        self.executors[index].remote
    }

    /// An executor was made. All are before the first of them can end.
    pub(crate) fn executor_begins(&self) {
        self.alive.add();
    }

    /// An executor has ended. The last one lets later executors use the remotes of all: until then, those that are left look
    /// into the others' for operations, and would find those of another runtime there.
    pub(crate) fn executor_ends(&self) {
        if self.alive.remove() {
            self.executors.iter().for_each(Seat::give_back);
        }
    }

    /// Whether the caller is a task of this runtime, or a destructor on one of its executors.
    pub(crate) fn is_called_by_own_task(&self) -> bool {
        Executor::is_of(self) || current(|context| context.is_in_runtime(self.address()))
    }

    /// By which contexts know it that run its tasks and are none of its fibers.
    fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Runs what a task of this runtime waits for, on the calling context.
    pub(crate) fn run_on_behalf<T>(&self, run: impl FnOnce() -> T) -> T {
        current(|context| {
            let _running = context.enter_runtime(self.address());
            run()
        })
    }

    pub(crate) fn set_features(&self, features: Features) {
        let _ = self.features.set(features);
    }

    pub(crate) fn features(&self) -> String {
        self.features.get().map(Features::names).unwrap_or_default()
    }

    /// Whether what is asked of a file system goes to the rings.
    pub(crate) fn rings_do_files(&self) -> bool {
        self.features.get().is_some_and(Features::does_files)
    }

    /// Whether the kernel completes what it has deferred only when an executor asks for it.
    pub(crate) fn rings_defer(&self) -> bool {
        self.features.get().is_some_and(Features::defers)
    }

    /// Whether the kernel has an operation.
    pub(crate) fn supports(&self, code: u8) -> bool {
        self.features.get().is_some_and(|features| features.supports(code))
    }

    /// Accepts a task, or gives it back.
    pub(crate) fn start(&self, io: &dyn Io, start: Start, how: SpawnMode) -> Result<(), Refused> {
        let options = start.options();
        let may_run_inline = options.may_run_inline();
        if let Err(invalid) = options.check_placement(self.executors.len()) {
            return Err(Refused { start, kind: invalid.into() });
        }
        let slot = match self.take_slot(io, how) {
            Ok(slot) => slot,
            Err(kind) => return Err(Refused { start, kind }),
        };
        let inline = how == SpawnMode::Async && slot == Slot::Uncounted;
        if inline && !may_run_inline {
            return Err(Refused { start, kind: limit_reached("async_limit", self.options.async_limit) });
        }
        if inline && Executor::is_of(self) {
            // On top of a task of this runtime, which is waited for and passes tear-down on.
            start.run();
            return Ok(());
        }
        let unstarted = match self.accept(start, slot) {
            Ok(unstarted) => unstarted,
            Err(start) => return Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) }),
        };
        match how {
            SpawnMode::Thread => return self.start_thread(unstarted),
            SpawnMode::Async if inline => {
                // Inline, on a thread that is not the runtime's.
                let task = self.register_thread(&unstarted);
                unstarted.run_on_thread(self, &task);
            }
            SpawnMode::Async | SpawnMode::Concurrent | SpawnMode::Waiting => self.enqueue(unstarted, how),
        }
        Ok(())
    }

    /// Takes what the task will be counted against.
    fn take_slot(&self, io: &dyn Io, how: SpawnMode) -> Result<Slot, SpawnErrorKind> {
        match how {
            SpawnMode::Async => match self.async_slots.try_acquire() {
                Some(permit) => {
                    permit.forget();
                    Ok(Slot::Async)
                }
                None => Ok(Slot::Uncounted),
            },
            SpawnMode::Concurrent => match self.concurrent_slots.try_acquire() {
                Some(permit) => {
                    permit.forget();
                    Ok(Slot::Concurrent)
                }
                None => Err(limit_reached("concurrent_limit", self.options.concurrent_limit)),
            },
            // Nobody would ever free one.
            SpawnMode::Waiting if self.options.concurrent_limit == 0 => Err(limit_reached("concurrent_limit", 0)),
            SpawnMode::Waiting => {
                self.concurrent_slots.acquire(io)?.forget();
                Ok(Slot::Concurrent)
            }
            SpawnMode::Thread => Ok(Slot::Uncounted),
        }
    }

    /// Accepts a task for which a slot was taken, unless the runtime closes; the slot is free again
    /// then.
    pub(crate) fn accept(&self, start: Start, slot: Slot) -> Result<Unstarted, Start> {
        if slot == Slot::Uncounted {
            self.uncounted.add();
        }
        if self.is_closing() {
            self.release(slot);
            return Err(start);
        }
        Ok(Unstarted { start, slot, handed: false })
    }

    /// Accepts a task that drops what is left of the program's, also at the end.
    pub(crate) fn accept_leftover(&self, start: Start) -> Unstarted {
        self.uncounted.add();
        Unstarted { start, slot: Slot::Uncounted, handed: false }
    }

    fn enqueue(&self, unstarted: Unstarted, how: SpawnMode) {
        if self.executors.len() == 1 && Executor::is_of(self) {
            // Nobody could steal it.
            Executor::with_current(|executor| executor.push_unstarted(unstarted));
            return;
        }
        let own = Executor::with_current(|executor| executor.belongs_to(self).then(|| executor.own())).flatten();
        // One that has to make progress beside its parent, which may go on for long, is best begun by who is idle. Others
        // are most likely begun by their joiners; their executor looks for an idle one when it comes to them.
        let beside = own.is_none() || how != SpawnMode::Async;
        let place = self.unstarted.place(unstarted.start.options().placement, own);
        let here = own.is_some_and(|own| own.index == place.executor);
        if place.pinned {
            self.unstarted.push(place, unstarted, Unstarted::offer);
            if !here {
                self.remote(place.executor).wake_executor();
            }
            return;
        }
        let idle = if beside {
            self.unstarted.idle(own)
        } else {
            Some(place.executor).filter(|executor| !here && self.unstarted.load(*executor) == 0)
        };
        if let Some(idle) = idle {
            self.hand(idle, unstarted);
            return;
        }
        self.unstarted.push(place, unstarted, Unstarted::offer);
        let awake = here || !self.remote(place.executor).wake_executor();
        if awake && (beside || !here) {
            // It may be busy for long: who sleeps takes the task, unless it comes first.
            self.wake_a_sleeper(place.executor);
        }
    }

    /// Hands a task to an executor that is idle, and wakes it if it sleeps.
    fn hand(&self, idle: usize, mut unstarted: Unstarted) {
        unstarted.handed = true;
        self.unstarted.hand(idle, unstarted, Unstarted::offer);
        self.remote(idle).wake_executor();
    }

    /// Hands a task that executor `own` was about to begin to one that is idle.
    ///
    /// # Errors
    ///
    /// The task, where there is none.
    pub(crate) fn hand_over(&self, own: Own, unstarted: Unstarted) -> Result<(), Unstarted> {
        match self.unstarted.idle(Some(own)) {
            Some(idle) => {
                self.hand(idle, unstarted);
                Ok(())
            }
            None => Err(unstarted),
        }
    }

    fn wake_a_sleeper(&self, except: usize) {
        let mut others = self.executors.iter().enumerate().filter(|(index, _)| *index != except);
        others.any(|(_, seat)| seat.remote.wake_executor());
    }

    fn start_thread(&self, unstarted: Unstarted) -> Result<(), Refused> {
        let task = self.register_thread(&unstarted);
        // An interior NUL is a panic of std's.
        let name = task.name().replace('\0', "");
        let mut thread = thread::Builder::new().name(name);
        if let Some(bytes) = unstarted.start.options().stack_size {
            thread = thread.stack_size(bytes);
        }
        // The task leaves the closure if the system gives no thread.
        let slot = Arc::new(Mutex::new(Some(unstarted)));
        let handed = slot.clone();
        // A task of the runtime's keeps it there, and its starter is one or has a handle.
        let Some(shared) = self.this() else { unreachable!("`self` is in an Arc") };
        let spawned = thread.spawn(move || {
            let unstarted = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(unstarted) = unstarted {
                unstarted.run_on_thread(&shared, &task);
            }
        });
        match spawned {
            Ok(_) => Ok(()),
            Err(error) => {
                let unstarted = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let unstarted = unstarted.expect("no thread took it");
                self.forget_thread(&unstarted.start.task());
                self.release(unstarted.slot);
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

    /// Remembers the task that a fiber of an executor is about to run; under which number.
    pub(crate) fn register(&self, executor: usize, task: TaskRef) -> usize {
        self.executors[executor].tasks().insert(task)
    }

    /// The task has ended.
    pub(crate) fn forget(&self, executor: usize, number: usize) {
        // It is dropped outside of the lock.
        let _task = self.executors[executor].tasks().remove(number);
    }

    /// The tasks that have begun and have not ended.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks = self.threads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tasks.extend((0..self.executors.len()).flat_map(|executor| self.tasks_of(executor)));
        tasks
    }

    /// Those of the fibers of one executor.
    pub(crate) fn tasks_of(&self, executor: usize) -> Vec<TaskRef> {
        self.executors[executor].tasks().iter().map(|(_, task)| task.clone()).collect()
    }

    fn forget_thread(&self, task: &TaskRef) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != task);
    }

    /// The tasks that have not started.
    pub(crate) fn unstarted(&self) -> &Queues<Unstarted> {
        &self.unstarted
    }

    /// Takes a task back for which executor `own` has no stack.
    pub(crate) fn put_back(&self, own: usize, unstarted: Unstarted) {
        let pinned = unstarted.start.options().placement != Placement::Anywhere;
        self.unstarted.push(Place { executor: own, pinned }, unstarted, Unstarted::offer);
        if !pinned {
            // Another executor may have a stack to spare, and have gone to sleep while this task was in no queue that it
            // looks into.
            self.wake_a_sleeper(own);
        }
    }

    /// Hands an operation to some executor. [`end_foreign`](Self::end_foreign) has to follow its
    /// completion.
    pub(crate) fn begin_foreign(&self) -> Result<&'static Remote, ShutDown> {
        self.foreign.add();
        if self.is_closed() {
            self.end_foreign();
            return Err(ShutDown);
        }
        Ok(self.remote(self.unstarted.least_loaded()))
    }

    /// Hands an operation to the executor with this remote; one that sleeps takes it, should that have much to do first.
    ///
    /// # Safety
    ///
    /// The message stays where it is until it has its result.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn send(&self, remote: &'static Remote, message: &Message) {
        // SAFETY: the message stays until it has its result, as the caller says.
        if unsafe { remote.send(message) } {
            return;
        }
        let index = self.executors.iter().position(|seat| ptr::eq(seat.remote, remote));
        if let Some(index) = index.filter(|index| self.unstarted.load(*index) > 0) {
            self.wake_a_sleeper(index);
        }
    }

    /// Takes operations that were handed to other executors, which have not come to them; whether there were any.
    pub(crate) fn take_messages(&self, own: usize, mut perform: impl FnMut(&Message)) -> bool {
        let others = self.executors.iter().enumerate().filter(|(index, _)| *index != own);
        others.fold(false, |found, (_, seat)| seat.remote.take_messages(&mut perform) || found)
    }

    pub(crate) fn end_foreign(&self) {
        if self.foreign.remove() && self.is_closed() {
            self.wake_all();
        }
    }

    pub(crate) fn has_no_foreign(&self) -> bool {
        self.foreign.is_zero()
    }

    /// Begins to shut down: no task is accepted any more, those that live are torn down.
    pub(crate) fn close(&self) {
        if self.closing.begin() {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).clone();
            threads.iter().for_each(TaskRef::tear_down);
            self.wake_all();
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.has_begun()
    }

    /// Whether the runtime closes and every task has ended.
    pub(crate) fn is_closed(&self) -> bool {
        if self.closed.has_begun() {
            return true;
        }
        let closed = self.is_closing() && self.has_no_task();
        if closed {
            // No task can be accepted any more, so this stays true.
            self.closed.begin();
        }
        closed
    }

    /// Names the tasks that do not end. For each executor when its grace is over; the first that finds some names all.
    pub(crate) fn report_stuck(&self) {
        let stuck = self.tasks();
        if !stuck.is_empty() && !self.stuck_reported.swap(true, Ordering::Relaxed) {
            tell_stuck(self.options.report.as_ref(), &stuck, self.options.grace);
        }
    }

    pub(crate) fn report_once(&self, text: &str) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            self.tell(text);
        }
    }

    pub(crate) fn tell(&self, text: &str) {
        tell(self.options.report.as_ref(), text);
    }

    /// Whether every task has ended. While the runtime closes this stays so: tasks that are refused
    /// count for a moment, and only hide it.
    fn has_no_task(&self) -> bool {
        self.uncounted.is_zero()
            && self.concurrent_slots.available() == self.options.concurrent_limit
            && self.async_slots.available() == self.options.async_limit
    }

    /// Counts a task out.
    fn release(&self, slot: Slot) {
        match slot {
            Slot::Async => self.async_slots.add_permits(1),
            Slot::Concurrent => self.concurrent_slots.add_permits(1),
            Slot::Uncounted => {
                self.uncounted.remove();
            }
        }
        if self.is_closing() && self.has_no_task() {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        for seat in &self.executors {
            seat.remote.wake_executor();
        }
    }
}

impl Unstarted {
    /// Runs a registered task on the calling context, which is no fiber of this runtime. It counts as
    /// live until it is forgotten, a little longer than its slot would be taken.
    fn run_on_thread(self, shared: &Shared, task: &TaskRef) {
        /// Counts the task out, also where inline tasks nest too deep and it never runs.
        struct Registered<'a> {
            shared: &'a Shared,
            task: &'a TaskRef,
        }
        impl Drop for Registered<'_> {
            fn drop(&mut self) {
                self.shared.forget_thread(self.task);
                self.shared.release(Slot::Uncounted);
            }
        }
        let _registered = Registered { shared, task };
        shared.run_on_behalf(|| self.start.run());
    }
}

fn limit_reached(limit: &'static str, value: usize) -> SpawnErrorKind {
    SpawnErrorKind::ConcurrencyUnavailable(ConcurrencyUnavailable::limit_reached(limit, value))
}

/// Lowers the limits to the stacks that this process can guard, and says so.
fn cap_limits(options: &mut Options) -> io::Result<()> {
    let stack = FiberStack::take(SizeClass::asked_for(options.stack_size))?;
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
