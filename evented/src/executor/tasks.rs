//! Beginning tasks: from which queue the executor takes one, and whether it begins the task itself or hands it over.

use std::io;
use std::time::Duration;

use iolite_fibers::{Stack, StackClass};
use iolite_io::backend::{Ticket, monotonic_now};

use super::fibers::STARTS;
use super::state::Executor;
use crate::admitted::Admitted;
use crate::fiber::{Fiber, OwnedFiber};

/// The minimum interval between two tasks that an executor hands to an idle one instead of beginning them.
const HANDED_OVER_EVERY: Duration = Duration::from_micros(100);

/// The time until the next attempt after there was no memory for a stack.
const STACK_RETRY: Duration = Duration::from_millis(10);

impl Executor {
    /// Makes the fiber for the main task, with a stack of the main task's size.
    pub(crate) fn prepare_main(&self) -> io::Result<()> {
        self.idle.put(self.new_fiber(self.class_of_main())?);
        Ok(())
    }

    /// Gives the main task to the fiber that `prepare_main` has made.
    pub(crate) fn assign_main(&self, main: Admitted) {
        self.assign(self.idle.take(self.class_of_main()).expect("prepared"), main);
    }

    fn class_of_main(&self) -> StackClass {
        StackClass::of(self.runtime.options().main_stack_size)
    }

    /// Keeps a task that one of this executor's fibers has started.
    pub(crate) fn push_unstarted(&self, unstarted: Admitted) {
        let mut queue = self.unstarted.borrow_mut();
        unstarted.offer(queue.next_ticket());
        queue.push(unstarted);
    }

    /// Begins the task that waits under `ticket` on the calling fiber, which joins that task.
    pub(crate) fn try_run_inline(&self, ticket: Ticket) {
        let own = self.unstarted.borrow_mut().take(ticket);
        if let Some(unstarted) = own.or_else(|| self.runtime.unstarted().take(self.index, ticket)) {
            self.tear_down_if_closing(&unstarted);
            unstarted.run(|slot| self.runtime.release(slot));
        }
    }

    /// Runs a task to its end, on the fiber that it was given to.
    fn run_task(unstarted: Admitted) {
        Self::with_current(|executor| unstarted.run(|slot| executor.runtime.release(slot)));
    }

    /// Tasks that start after the others were torn down are torn down too.
    #[inline]
    fn tear_down_if_closing(&self, unstarted: &Admitted) {
        if self.runtime.is_closing() {
            unstarted.start.task().tear_down();
        }
    }

    /// Starts some of the tasks that wait here.
    #[inline]
    pub(super) fn start_tasks(&self) {
        for _ in 0..STARTS {
            if !self.seems_to_have_unstarted() || self.starved.get().is_some() {
                return;
            }
            self.start_task();
        }
    }

    /// Starts a task that waits here or, if there is nothing else to do, with another executor.
    #[inline]
    pub(super) fn start_task(&self) {
        if self.starved.get().is_some_and(|retry| monotonic_now() < retry) {
            return;
        }
        self.starved.set(None);
        let steal = self.ready.is_empty();
        let Some(unstarted) = self.next_unstarted(steal) else { return };
        let Err(unstarted) = self.hand_over(unstarted) else { return };
        let class = unstarted.start.options().stack_size.map_or(self.class_default, StackClass::of);
        let fiber = self.idle.take(class).map_or_else(|| self.new_fiber(class), Ok);
        match fiber {
            Ok(fiber) => self.assign(fiber, unstarted),
            Err(error) => {
                // The task is tried again when another task has ended and left its stack, or when there is memory.
                self.starved.set(Some(monotonic_now() + STACK_RETRY));
                self.runtime.tell_starved(&error);
                self.runtime.put_back(self.index, unstarted);
            }
        }
    }

    /// A hint that takes no lock.
    #[inline]
    pub(super) fn seems_to_have_unstarted(&self) -> bool {
        !self.unstarted.borrow().is_empty() || self.runtime.unstarted().seems_to_have_next(self.index)
    }

    /// Hands a task to an idle executor: the task may compute for a long time, which would delay the fibers that wait
    /// here. A task is handed over only once, and only few within a short time, because waking an executor takes longer
    /// than most tasks.
    #[inline]
    fn hand_over(&self, unstarted: Admitted) -> Result<(), Admitted> {
        let may_be_handed = self.runtime.options().executors > 1
            && !self.live.borrow().is_empty()
            && unstarted.may_be_handed_over()
            && self.runtime.unstarted().idle(Some(self.own())).is_some();
        if !may_be_handed {
            return Err(unstarted);
        }
        let now = monotonic_now();
        if now < self.handed_over.get() + HANDED_OVER_EVERY {
            return Err(unstarted);
        }
        self.runtime.hand_over(self.own(), unstarted).inspect(|()| self.handed_over.set(now))
    }

    /// Returns the next task to start. In each turn, tasks of other executors and threads come first, because its own
    /// tasks come as fast as it runs.
    #[inline]
    fn next_unstarted(&self, steal: bool) -> Option<Admitted> {
        let own = || self.unstarted.borrow_mut().pop();
        let runtime = || self.runtime.unstarted().next(self.index, steal);
        if self.turn_begins.replace(false) { runtime().or_else(own) } else { own().or_else(runtime) }
    }

    #[inline]
    pub(super) fn has_unstarted(&self) -> bool {
        !self.unstarted.borrow().is_empty() || self.runtime.unstarted().has_next(self.index)
    }

    /// Returns true if a task could be started now.
    #[inline]
    pub(super) fn can_start(&self) -> bool {
        self.starved.get().is_none() && self.has_unstarted()
    }

    /// Returns a fiber whose task has ended to the pool.
    #[inline]
    pub(super) fn retire(&self, fiber: &Fiber) {
        if let Some(task) = fiber.live_task.take() {
            self.runtime.executors().remove(self.index, task);
        }
        let fiber = self.live.borrow_mut().remove(fiber.index.get());
        self.idle.put(fiber);
        // A task may be waiting for its stack.
        self.starved.set(None);
        self.tell_load();
    }

    #[inline]
    fn assign(&self, fiber: OwnedFiber, unstarted: Admitted) {
        self.tear_down_if_closing(&unstarted);
        fiber.live_task.set(Some(self.runtime.executors().enter(self.index, unstarted.start.task())));
        fiber.assign(unstarted);
        let mut live = self.live.borrow_mut();
        let place = live.vacant_entry();
        fiber.index.set(place.key());
        self.queue(&fiber);
        place.insert(fiber);
        drop(live);
        self.tell_load();
    }

    fn new_fiber(&self, class: StackClass) -> io::Result<OwnedFiber> {
        // The stack comes first: a block that was taken without need would be lost.
        let stack = Stack::take(class)?;
        Ok(OwnedFiber::new(stack, self.inbox.take_block(), self.park.clone(), Self::run_task))
    }

    /// Publishes how much this executor has to do.
    #[inline]
    pub(super) fn tell_load(&self) {
        self.runtime.unstarted().tell(self.own());
    }
}
