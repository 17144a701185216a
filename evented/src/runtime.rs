//! A runtime, as its executors, its handles and its tasks know it.

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use iolite_fibers::{Stack, StackClass, guarded_stacks_max};
use iolite_io::backend::{
    Admission, BlockingPool, Closing, Count, LiveIndex, LiveTasks, Lookups, Mounts, ShutdownReport, Slot, Start,
    TaskOptions, TaskRef, current, guard_panic_hook, make_room_for_descriptors,
};
use iolite_io::error::ShutDown;
use iolite_io::task::Placement;

use crate::admitted::Admitted;
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
    admission: Admission,
    /// Operations of foreign contexts that have not ended; with `closed`, as above.
    foreign: Count,
    closed: Closing,
    /// Tasks on threads of their own, and inline ones on threads that are not the runtime's.
    threads: Mutex<LiveTasks>,
    names: Lookups,
    closures: BlockingPool,
    files: BlockingPool,
    mounts: Mounts,
    features: OnceLock<Features>,
    report: ShutdownReport,
    /// A task had to wait for the memory of a stack, and the program was told.
    told_starved: AtomicBool,
}

/// How many calls on files that the rings cannot perform go on at the same time; more wait.
const FILE_THREADS: usize = 64;

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("options", &self.options)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    pub(crate) fn new(mut options: Options) -> io::Result<Arc<Self>> {
        options.check()?;
        guard_panic_hook();
        make_room_for_descriptors();
        cap_limits(&mut options)?;
        let executors = Peers::new(options.executors)?;
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            executors,
            unstarted: Queues::new(options.executors),
            admission: Admission::new(options.async_limit, options.concurrent_limit),
            foreign: Count::new(0),
            closed: Closing::default(),
            threads: Mutex::default(),
            names: Lookups::new(options.lookup_limit, options.lookup_timeout),
            closures: BlockingPool::new("iolite-offload", options.offload_limit),
            files: BlockingPool::new("iolite-files", FILE_THREADS),
            mounts: Mounts::default(),
            features: OnceLock::new(),
            report: ShutdownReport::new(options.report.clone(), options.grace),
            told_starved: AtomicBool::new(false),
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

    /// Which tasks are admitted, and how many live.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What the program is told.
    pub(crate) fn report(&self) -> &ShutdownReport {
        &self.report
    }

    /// Admits a task for which a slot was taken, unless the runtime closes; the slot is free again
    /// then.
    pub(crate) fn accept(&self, start: Start, slot: Slot) -> Result<Admitted, Start> {
        match self.admission.admit(slot) {
            Ok(()) => Ok(Admitted::new(start, slot)),
            Err(ShutDown) => {
                self.release(slot);
                Err(start)
            }
        }
    }

    /// Admits a task that drops what is left of the program's, also at the end.
    pub(crate) fn accept_leftover(&self, start: Start) -> Admitted {
        self.admission.admit_at_the_end(Slot::Uncounted);
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

    /// Enters a task that runs on no executor, so that shutdown reaches it.
    pub(crate) fn enter_thread(&self, task: TaskRef) -> LiveIndex {
        let index = self.threads().enter(task.clone());
        if self.is_closing() {
            // `close` may have looked before that.
            task.tear_down();
        }
        index
    }

    /// Removes such a task, which has ended.
    pub(crate) fn remove_thread(&self, index: LiveIndex) {
        // It is dropped outside of the lock.
        let _task = self.threads().remove(index);
    }

    fn threads(&self) -> MutexGuard<'_, LiveTasks> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tasks that have begun and have not ended.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks = self.threads().all();
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
        if self.admission.close() {
            let threads = self.threads().all();
            threads.iter().for_each(TaskRef::tear_down);
            self.executors.wake_all();
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.admission.is_closing()
    }

    /// Whether the runtime closes and every task has ended.
    pub(crate) fn is_closed(&self) -> bool {
        if self.closed.has_begun() {
            return true;
        }
        let closed = self.admission.is_over();
        if closed {
            // No task can be accepted any more, so this stays true.
            self.closed.begin();
        }
        closed
    }

    /// Tells that a task waits for the memory of a stack, once.
    pub(crate) fn tell_starved(&self, error: &io::Error) {
        if !self.told_starved.swap(true, Ordering::Relaxed) {
            self.report.send(&format!("no memory for the stack of a fiber, a task waits: {error}"));
        }
    }

    /// Counts a task out.
    #[inline]
    pub(crate) fn release(&self, slot: Slot) {
        if self.admission.release(slot) {
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
