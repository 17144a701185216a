//! Starting a task: whether it is admitted, and where it goes.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use iolite_io::backend::{Refused, SpawnMode, Start, TaskRef, current};
use iolite_io::{
    Io, SpawnErrorKind,
    error::{ConcurrencyUnavailable, ShutDown},
};

use crate::admitted::{Admitted, Slot};
use crate::executor::Executor;
use crate::runtime::Runtime;

impl Runtime {
    /// Whether the caller is a task of this runtime, or a destructor on one of its executors.
    pub(crate) fn is_called_by_own_task(&self) -> bool {
        Executor::is_of(self) || current(|context| context.is_in_runtime(self.address()))
    }

    /// Accepts a task, or gives it back.
    pub(crate) fn start(&self, io: &dyn Io, start: Start, how: SpawnMode) -> Result<(), Refused> {
        let options = start.options();
        let may_run_inline = options.may_run_inline();
        if let Err(invalid) = options.check_placement(self.executors().len()) {
            return Err(Refused { start, kind: invalid.into() });
        }
        let slot = match self.take_slot(io, how) {
            Ok(slot) => slot,
            Err(kind) => return Err(Refused { start, kind }),
        };
        let inline = how == SpawnMode::Async && slot == Slot::Uncounted;
        if inline && !may_run_inline {
            return Err(Refused { start, kind: limit_reached("async_limit", self.options().async_limit) });
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
                None => Err(limit_reached("concurrent_limit", self.options().concurrent_limit)),
            },
            // Nobody would ever free one.
            SpawnMode::Waiting if self.options().concurrent_limit == 0 => Err(limit_reached("concurrent_limit", 0)),
            SpawnMode::Waiting => {
                self.concurrent_slots.acquire(io)?.forget();
                Ok(Slot::Concurrent)
            }
            SpawnMode::Thread => Ok(Slot::Uncounted),
        }
    }

    fn enqueue(&self, unstarted: Admitted, how: SpawnMode) {
        if self.executors().len() == 1 && Executor::is_of(self) {
            // Nobody could steal it.
            Executor::with_current(|executor| executor.push_unstarted(unstarted));
            return;
        }
        let own = Executor::with_current(|executor| executor.belongs_to(self).then(|| executor.own())).flatten();
        // One that has to make progress beside its parent, which may go on for long, is best begun by who is idle. Others
        // are most likely begun by their joiners; their executor looks for an idle one when it comes to them.
        let beside = own.is_none() || how != SpawnMode::Async;
        let place = self.unstarted().place(unstarted.start.options().placement, own);
        let here = own.is_some_and(|own| own.index == place.executor);
        if place.pinned {
            self.unstarted().push(place, unstarted, Admitted::offer);
            if !here {
                self.executors().inbox(place.executor).wake_executor();
            }
            return;
        }
        let idle = if beside {
            self.unstarted().idle(own)
        } else {
            Some(place.executor).filter(|executor| !here && self.unstarted().load(*executor) == 0)
        };
        if let Some(idle) = idle {
            self.hand(idle, unstarted);
            return;
        }
        self.unstarted().push(place, unstarted, Admitted::offer);
        let awake = here || !self.executors().inbox(place.executor).wake_executor();
        if awake && (beside || !here) {
            // It may be busy for long: who sleeps takes the task, unless it comes first.
            self.executors().wake_a_sleeper(place.executor);
        }
    }

    fn start_thread(&self, unstarted: Admitted) -> Result<(), Refused> {
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
        let Some(runtime) = self.this() else { unreachable!("`self` is in an Arc") };
        let spawned = thread.spawn(move || {
            let unstarted = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(unstarted) = unstarted {
                unstarted.run_on_thread(&runtime, &task);
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
}

impl Admitted {
    /// Runs a registered task on the calling context, which is no fiber of this runtime. It counts as
    /// live until it is forgotten, a little longer than its slot would be taken.
    fn run_on_thread(self, runtime: &Runtime, task: &TaskRef) {
        /// Counts the task out, also where inline tasks nest too deep and it never runs.
        struct Registered<'a> {
            runtime: &'a Runtime,
            task: &'a TaskRef,
        }
        impl Drop for Registered<'_> {
            fn drop(&mut self) {
                self.runtime.forget_thread(self.task);
                self.runtime.release(Slot::Uncounted);
            }
        }
        let _registered = Registered { runtime, task };
        runtime.run_on_behalf(|| self.start.run());
    }
}

fn limit_reached(limit: &'static str, value: usize) -> SpawnErrorKind {
    SpawnErrorKind::ConcurrencyUnavailable(ConcurrencyUnavailable::limit_reached(limit, value))
}
