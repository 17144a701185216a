//! Starting a task: the decision whether it is admitted, and where it goes.

use iolite_io::backend::{LiveIndex, Refused, Slot, SpawnMode, Start, current, spawn_with};
use iolite_io::error::ShutDown;
use iolite_io::{Io, SpawnErrorKind};

use crate::admitted::Admitted;
use crate::executor::Executor;
use crate::runtime::Runtime;

impl Runtime {
    /// Returns true if the caller is a task of this runtime, or a destructor on one of its executors.
    pub(crate) fn is_called_by_own_task(&self) -> bool {
        Executor::is_of(self) || current(|context| context.is_in_runtime(self.address()))
    }

    /// Accepts a task, or returns it.
    pub(crate) fn start(&self, io: &dyn Io, start: Start, how: SpawnMode) -> Result<(), Refused> {
        let options = start.options();
        if let Err(invalid) = options.check_placement(self.executors().len()) {
            return Err(Refused { start, kind: invalid.into() });
        }
        let slot = match self.admission().take(io, &start, how) {
            Ok(slot) => slot,
            Err(kind) => return Err(Refused { start, kind }),
        };
        let inline = how == SpawnMode::Async && slot == Slot::Uncounted;
        if inline && Executor::is_of(self) {
            // The task runs on top of a task of this runtime, which is waited for and passes tear-down on.
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
                // The task runs inline, on a thread that does not belong to the runtime.
                let index = self.enter_thread(unstarted.start.task());
                unstarted.run_on_thread(self, index);
            }
            SpawnMode::Async | SpawnMode::Concurrent | SpawnMode::Waiting => self.enqueue(unstarted, how),
        }
        Ok(())
    }

    fn enqueue(&self, unstarted: Admitted, how: SpawnMode) {
        if self.executors().len() == 1 && Executor::is_of(self) {
            // No other executor could steal it.
            Executor::with_current(|executor| executor.push_unstarted(unstarted));
            return;
        }
        let own = Executor::with_current(|executor| executor.belongs_to(self).then(|| executor.own())).flatten();
        // A task that has to make progress beside its parent, which may run for a long time, is best begun by an idle
        // executor. The joiners of other tasks most likely begin them; their executor looks for an idle one when it
        // reaches them.
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
            // The executor may be busy for a long time: a sleeping one takes the task, unless this one is faster.
            self.executors().wake_a_sleeper(place.executor);
        }
    }

    fn start_thread(&self, unstarted: Admitted) -> Result<(), Refused> {
        let (task, stack_bytes) = (unstarted.start.task(), unstarted.start.options().stack_size);
        let index = self.enter_thread(task.clone());
        // A task of the runtime keeps it there; its starter either is such a task or has a handle.
        let Some(runtime) = self.this() else { unreachable!("`self` is in an Arc") };
        let body = move |unstarted: Admitted| unstarted.run_on_thread(&runtime, index);
        spawn_with(task.name(), stack_bytes, unstarted, body).map_err(|(unstarted, error)| {
            let Admitted { start, slot, .. } = unstarted;
            self.remove_thread(index);
            self.release(slot);
            Refused { start, kind: self.admission().refused_by_system(slot, error) }
        })
    }
}

impl Admitted {
    /// Runs a registered task on the calling context, which is not a fiber of this runtime. The task counts as live
    /// until it is removed, which is a little longer than its slot would be taken.
    fn run_on_thread(self, runtime: &Runtime, index: LiveIndex) {
        /// Counts the task out, even if inline tasks nest too deep and it never runs.
        struct Entered<'a> {
            runtime: &'a Runtime,
            index: LiveIndex,
        }
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                self.runtime.remove_thread(self.index);
                self.runtime.release(Slot::Uncounted);
            }
        }
        let _entered = Entered { runtime, index };
        runtime.run_on_behalf(|| self.start.run());
    }
}
