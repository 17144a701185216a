//! A runtime, as its executors, its handles and its tasks know it.

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use iolite_fibers::{Stack, StackClass, guarded_stacks_max};
use iolite_io::backend::{
    BlockingPool, Closing, Count, Lookups, Mounts, Start, TaskOptions, TaskRef, current, guard_panic_hook,
    make_room_for_descriptors, tell, tell_stuck,
};
use iolite_io::sync::Semaphore;
use iolite_io::{error::ShutDown, task::Placement};

use crate::admitted::{Admitted, Slot};
use crate::options::Options;
use crate::peers::Peers;
use crate::placement::{LocalExecutor, Place, Queues};
use crate::remote::{Inbox, Message};
use crate::ring::Features;

/// A runtime, as its executors, its handles and its tasks know it.
pub(crate) struct Runtime {
    this: Weak<Runtime>,
    options: Options,
    executors: Peers,
    /// Tasks that have not started; but where there is one executor, it keeps those of its own fibers.
    unstarted: Queues<Admitted>,
    /// Tasks that were accepted and have not ended: as many as slots are taken, and those that are
    /// counted against no limit. A starter counts and then looks whether the runtime closes; the last executor
    /// sees it closing and then looks at these: see [`Closing`].
    pub(crate) async_slots: Semaphore,
    pub(crate) concurrent_slots: Semaphore,
    uncounted: Count,
    closing: Closing,
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

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("options", &self.options)
            .field("async_slots", &self.async_slots.available())
            .field("concurrent_slots", &self.concurrent_slots.available())
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    pub(crate) fn new(mut options: Options) -> io::Result<Arc<Self>> {
        options.check()?;
        guard_panic_hook();
        make_room_for_descriptors();
        cap_limits(&mut options)?;
        options.async_limit = options.async_limit.min(Semaphore::PERMITS_MAX);
        options.concurrent_limit = options.concurrent_limit.min(Semaphore::PERMITS_MAX);
        let executors = Peers::new(options.executors)?;
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            executors,
            unstarted: Queues::new(options.executors),
            async_slots: Semaphore::new(options.async_limit),
            concurrent_slots: Semaphore::new(options.concurrent_limit),
            uncounted: Count::new(0),
            closing: Closing::default(),
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

    pub(crate) fn this(&self) -> Option<Arc<Runtime>> {
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

    /// The executors.
    pub(crate) fn executors(&self) -> &Peers {
        &self.executors
    }

    /// By which contexts know it that run its tasks and are none of its fibers.
    pub(crate) fn address(&self) -> *const () {
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

    /// Accepts a task for which a slot was taken, unless the runtime closes; the slot is free again
    /// then.
    pub(crate) fn accept(&self, start: Start, slot: Slot) -> Result<Admitted, Start> {
        if slot == Slot::Uncounted {
            self.uncounted.add();
        }
        if self.is_closing() {
            self.release(slot);
            return Err(start);
        }
        Ok(Admitted::new(start, slot))
    }

    /// Accepts a task that drops what is left of the program's, also at the end.
    pub(crate) fn accept_leftover(&self, start: Start) -> Admitted {
        self.uncounted.add();
        Admitted::new(start, Slot::Uncounted)
    }

    /// Hands a task to an executor that is idle, and wakes it if it sleeps.
    pub(crate) fn hand(&self, idle: usize, mut unstarted: Admitted) {
        unstarted.handed = true;
        self.unstarted.hand(idle, unstarted, Admitted::offer);
        self.executors.inbox(idle).wake_executor();
    }

    /// Hands a task that executor `own` was about to begin to one that is idle.
    ///
    /// # Errors
    ///
    /// The task, where there is none.
    pub(crate) fn hand_over(&self, own: LocalExecutor, unstarted: Admitted) -> Result<(), Admitted> {
        match self.unstarted.idle(Some(own)) {
            Some(idle) => {
                self.hand(idle, unstarted);
                Ok(())
            }
            None => Err(unstarted),
        }
    }

    /// Remembers a task that runs on no executor, so that shutdown reaches it.
    pub(crate) fn register_thread(&self, unstarted: &Admitted) -> TaskRef {
        let task = unstarted.start.task();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(task.clone());
        if self.is_closing() {
            // `close` may have looked before the push.
            task.tear_down();
        }
        task
    }

    pub(crate) fn forget_thread(&self, task: &TaskRef) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != task);
    }

    /// The tasks that have begun and have not ended.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks = self.threads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tasks.extend(self.executors.tasks());
        tasks
    }

    /// The tasks that have not started.
    pub(crate) fn unstarted(&self) -> &Queues<Admitted> {
        &self.unstarted
    }

    /// Takes a task back for which executor `own` has no stack.
    pub(crate) fn put_back(&self, own: usize, unstarted: Admitted) {
        let pinned = unstarted.start.options().placement != Placement::Anywhere;
        self.unstarted.push(Place { executor: own, pinned }, unstarted, Admitted::offer);
        if !pinned {
            // Another executor may have a stack to spare, and have gone to sleep while this task was in no queue that it
            // looks into.
            self.executors.wake_a_sleeper(own);
        }
    }

    /// Hands an operation to some executor. [`end_foreign`](Self::end_foreign) has to follow its
    /// completion.
    pub(crate) fn begin_foreign(&self) -> Result<&'static Inbox, ShutDown> {
        self.foreign.add();
        if self.is_closed() {
            self.end_foreign();
            return Err(ShutDown);
        }
        Ok(self.executors.inbox(self.unstarted.least_loaded()))
    }

    /// Hands an operation to the executor with this inbox. Where that one has much to do, an executor that sleeps takes it.
    ///
    /// # Safety
    ///
    /// The message stays where it is until it has its result.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn send(&self, inbox: &'static Inbox, message: &Message) {
        // SAFETY: the message stays until it has its result, as the caller says.
        if unsafe { inbox.send(message) } {
            return;
        }
        let index = self.executors.index_of(inbox);
        if let Some(index) = index.filter(|index| self.unstarted.load(*index) > 0) {
            self.executors.wake_a_sleeper(index);
        }
    }

    pub(crate) fn end_foreign(&self) {
        if self.foreign.remove() && self.is_closed() {
            self.executors.wake_all();
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
            self.executors.wake_all();
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
    pub(crate) fn release(&self, slot: Slot) {
        match slot {
            Slot::Async => self.async_slots.add_permits(1),
            Slot::Concurrent => self.concurrent_slots.add_permits(1),
            Slot::Uncounted => {
                self.uncounted.remove();
            }
        }
        if self.is_closing() && self.has_no_task() {
            self.executors.wake_all();
        }
    }
}

// A stack that a task may ask for is one that there is.
const _: () = assert!(
    *TaskOptions::STACK_BYTES.start() == *StackClass::BYTES.start()
        && *TaskOptions::STACK_BYTES.end() == *StackClass::BYTES.end()
);

/// Lowers the limits to the stacks that this process can guard, and says so.
fn cap_limits(options: &mut Options) -> io::Result<()> {
    let stack = Stack::take(StackClass::of(options.stack_size))?;
    Stack::give_back([stack]);
    let Some(max) = guarded_stacks_max() else { return Ok(()) };
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
