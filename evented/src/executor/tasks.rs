//! How an executor begins tasks: from which queue, on which fiber, or not itself.

use std::io;
use std::time::Duration;

use iolite_fibers::{Stack, StackClass};
use iolite_io::backend::{Ticket, monotonic_now};

use super::fibers::STARTS;
use super::state::Executor;
use crate::admitted::Admitted;
use crate::fiber::{Fiber, OwnedFiber};

/// How often an executor hands a task that it was about to begin to one that is idle, at most.
const HANDED_OVER_EVERY: Duration = Duration::from_micros(100);

/// When to try again after there was no memory for a stack.
const STACK_RETRY: Duration = Duration::from_millis(10);

impl Executor {
    /// Makes the fiber on which the main task will run, with a stack of its own size.
    pub(crate) fn prepare_main(&self) -> io::Result<()> {
        self.idle.put(self.new_fiber(self.class_of_main())?);
        Ok(())
    }

    /// Gives the main task to the fiber that `prepare_main` made.
    pub(crate) fn assign_main(&self, main: Admitted) {
        self.assign(self.idle.take(self.class_of_main()).expect("prepared"), main);
    }

    fn class_of_main(&self) -> StackClass {
        StackClass::of(self.runtime.options().main_stack_size)
    }

    /// Keeps a task that one of its fibers has started.
    pub(crate) fn push_unstarted(&self, unstarted: Admitted) {
        let mut queue = self.unstarted.borrow_mut();
        unstarted.offer(queue.next_ticket());
        queue.push(unstarted);
    }

    /// Begins the task that waits under `ticket` on the calling fiber, which joins it.
    pub(crate) fn try_run_inline(&self, ticket: Ticket) {
        let own = self.unstarted.borrow_mut().take(ticket);
        if let Some(unstarted) = own.or_else(|| self.runtime.unstarted().take(self.index, ticket)) {
            self.tear_down_if_closing(&unstarted);
            unstarted.run(|slot| self.runtime.release(slot));
        }
    }

    /// Runs a task to its end, on the fiber that was given it.
    fn run_task(unstarted: Admitted) {
        Self::with_current(|executor| unstarted.run(|slot| executor.runtime.release(slot)));
    }

    /// Tasks that start after the others were torn down are, too.
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

    /// Starts a task that waits here or, when there is nothing else to do, with another executor.
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
                // Its turn comes when another task has ended and left its stack, or there is memory.
                self.starved.set(Some(monotonic_now() + STACK_RETRY));
                self.runtime.report_once(&format!("no memory for the stack of a fiber, a task waits: {error}"));
                self.runtime.put_back(self.index, unstarted);
            }
        }
    }

    /// A hint, without a lock.
    #[inline]
    pub(super) fn seems_to_have_unstarted(&self) -> bool {
        !self.unstarted.borrow().is_empty() || self.runtime.unstarted().seems_to_have_next(self.index)
    }

    /// Hands a task to an executor that is idle: it may compute for long, and the fibers that wait here would be late. Not
    /// one that was handed over before, nor many within a short time: to wake somebody takes longer than most tasks.
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

    /// The next task to start. Those of others first, each turn: its own come as fast as it runs.
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

    /// Whether a task could be started now.
    #[inline]
    pub(super) fn can_start(&self) -> bool {
        self.starved.get().is_none() && self.has_unstarted()
    }

    /// Puts a fiber whose task has ended into the pool.
    #[inline]
    pub(super) fn retire(&self, fiber: &Fiber) {
        self.runtime.executors().forget(self.index, fiber.number.get());
        let fiber = self.live.borrow_mut().remove(fiber.index.get());
        self.idle.put(fiber);
        // Its stack may be what a task waits for.
        self.starved.set(None);
        self.tell_load();
    }

    #[inline]
    fn assign(&self, fiber: OwnedFiber, unstarted: Admitted) {
        self.tear_down_if_closing(&unstarted);
        fiber.number.set(self.runtime.executors().register(self.index, unstarted.start.task()));
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
        // The stack first: a block that was taken for nothing would be lost.
        let stack = Stack::take(class)?;
        Ok(OwnedFiber::new(stack, self.inbox.take_block(), self.park.clone(), Self::run_task))
    }

    /// Lets the others know how much there is to do here.
    #[inline]
    pub(super) fn tell_load(&self) {
        self.runtime.unstarted().tell(self.own());
    }
}
