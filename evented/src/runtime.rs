//! A runtime, as its executors, its handles and its tasks see it.

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, Weak};

use iolite_fibers::{Stack, StackClass, guarded_stacks_max};
use iolite_io::backend::{
    Admission, BlockingPool, Closing, Count, LiveIndex, LiveTasks, Lock, Lookups, Mounts, ShutdownReport, Slot, Start,
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

/// A runtime, as its executors, its handles and its tasks see it.
pub(crate) struct Runtime {
    this: Weak<Runtime>,
    options: Options,
    executors: Peers,
    /// Tasks that have not started. If there is only one executor, it keeps those of its own fibers itself.
    unstarted: Queues<Admitted>,
    admission: Admission,
    /// The number of operations of foreign contexts that have not ended; used with `closed`, as above.
    foreign: Count,
    closed: Closing,
    /// The tasks on threads of their own, and the inline tasks on threads that do not belong to the runtime.
    threads: Lock<LiveTasks>,
    names: Lookups,
    closures: BlockingPool,
    files: BlockingPool,
    mounts: Mounts,
    features: OnceLock<Features>,
    report: ShutdownReport,
    /// Set if a task had to wait for the memory of a stack, and the program was told.
    told_starved: AtomicBool,
}

/// The maximum number of concurrent file operations that the rings cannot perform; further ones wait.
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
            threads: Lock::default(),
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

    /// Returns the pool for closures of the program, which may wait for anything.
    pub(crate) fn closures(&self) -> &BlockingPool {
        &self.closures
    }

    /// Returns the pool for file operations, which wait only for the file system, and not for each other.
    pub(crate) fn files(&self) -> &BlockingPool {
        &self.files
    }

    /// Returns the known properties of mounts.
    pub(crate) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// Returns the executors.
    pub(crate) fn executors(&self) -> &Peers {
        &self.executors
    }

    /// Returns the address by which contexts that run its tasks, but are not its fibers, identify it.
    pub(crate) fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Runs a closure that a task of this runtime waits for, on the calling context.
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

    /// Returns true if the rings perform operations on file systems.
    pub(crate) fn rings_do_files(&self) -> bool {
        self.features.get().is_some_and(Features::does_files)
    }

    /// Returns true if the kernel completes deferred work only when an executor asks for it.
    pub(crate) fn rings_defer(&self) -> bool {
        self.features.get().is_some_and(Features::defers)
    }

    /// Returns true if the kernel has an operation.
    pub(crate) fn supports(&self, code: u8) -> bool {
        self.features.get().is_some_and(|features| features.supports(code))
    }

    /// Returns the admission of tasks, which also counts the live ones.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Returns the report to the program.
    pub(crate) fn report(&self) -> &ShutdownReport {
        &self.report
    }

    /// Admits a task for which a slot was taken. If the runtime is closing, it returns the task, and the slot is free
    /// again.
    pub(crate) fn accept(&self, start: Start, slot: Slot) -> Result<Admitted, Start> {
        match self.admission.admit(slot) {
            Ok(()) => Ok(Admitted::new(start, slot)),
            Err(ShutDown) => {
                self.release(slot);
                Err(start)
            }
        }
    }

    /// Admits a task that drops values of the program that have no owner any more, even during the shutdown.
    pub(crate) fn accept_leftover(&self, start: Start) -> Admitted {
        self.admission.admit_at_the_end(Slot::Uncounted);
        Admitted::new(start, Slot::Uncounted)
    }

    /// Hands a task to an idle executor, and wakes the executor if it sleeps.
    pub(crate) fn hand(&self, idle: usize, mut unstarted: Admitted) {
        unstarted.handed = true;
        self.unstarted.hand(idle, unstarted, Admitted::offer);
        self.executors.inbox(idle).wake_executor();
    }

    /// Hands a task that executor `own` was about to begin to an idle executor.
    ///
    /// # Errors
    ///
    /// The task, if no executor is idle.
    pub(crate) fn hand_over(&self, own: LocalExecutor, unstarted: Admitted) -> Result<(), Admitted> {
        match self.unstarted.idle(Some(own)) {
            Some(idle) => {
                self.hand(idle, unstarted);
                Ok(())
            }
            None => Err(unstarted),
        }
    }

    /// Registers a task that runs on no executor, so that a shutdown reaches it.
    pub(crate) fn enter_thread(&self, task: TaskRef) -> LiveIndex {
        let index = self.threads().enter(task.clone());
        if self.is_closing() {
            // `close` may have looked before the task was registered.
            task.tear_down();
        }
        index
    }

    /// Removes such a task, which has ended.
    pub(crate) fn remove_thread(&self, index: LiveIndex) {
        // The task is dropped outside of the lock.
        let _task = self.threads().remove(index);
    }

    fn threads(&self) -> MutexGuard<'_, LiveTasks> {
        self.threads.lock()
    }

    /// Returns the tasks that have begun and have not ended.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks = self.threads().all();
        tasks.extend(self.executors.tasks());
        tasks
    }

    /// Returns the tasks that have not started.
    pub(crate) fn unstarted(&self) -> &Queues<Admitted> {
        &self.unstarted
    }

    /// Takes back a task for which executor `own` has no stack.
    pub(crate) fn put_back(&self, own: usize, unstarted: Admitted) {
        let pinned = unstarted.start.options().placement != Placement::Anywhere;
        self.unstarted.push(Place { executor: own, pinned }, unstarted, Admitted::offer);
        if !pinned {
            // Another executor may have a spare stack, and may have gone to sleep while this task was in no queue that
            // it checks.
            self.executors.wake_a_sleeper(own);
        }
    }

    /// Counts an operation that is about to be handed to some executor, and returns the executor's inbox.
    /// [`end_foreign`](Self::end_foreign) has to follow its completion.
    pub(crate) fn begin_foreign(&self) -> Result<&'static Inbox, ShutDown> {
        self.foreign.add();
        if self.is_closed() {
            self.end_foreign();
            return Err(ShutDown);
        }
        Ok(self.executors.inbox(self.unstarted.least_loaded()))
    }

    /// Hands an operation to the executor with this inbox. If that executor is busy, a sleeping executor takes the
    /// operation.
    ///
    /// # Safety
    ///
    /// The message stays in place until it has its result.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn send(&self, inbox: &'static Inbox, message: &Message) {
        // SAFETY: the caller promises that the message stays until it has its result.
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

    /// Begins to shut down: tasks are no longer accepted, and the live ones are torn down.
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

    /// Returns true if the runtime is closing and every task has ended.
    pub(crate) fn is_closed(&self) -> bool {
        if self.closed.has_begun() {
            return true;
        }
        let closed = self.admission.is_over();
        if closed {
            // Tasks are no longer accepted, so this stays true.
            self.closed.begin();
        }
        closed
    }

    /// Reports that a task waits for the memory of a stack, but only once.
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

// Every stack size that a task may ask for has a size class.
const _: () = assert!(
    *TaskOptions::STACK_BYTES.start() == *StackClass::BYTES.start()
        && *TaskOptions::STACK_BYTES.end() == *StackClass::BYTES.end()
);

/// Lowers the limits to the number of stacks that this process can guard, and reports that.
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
