//! The fibers that an executor runs within a turn.
#![allow(unsafe_code)]

use iolite_io::backend::{WakeBlock, monotonic_now};

use super::state::Executor;
use crate::fiber::{Fiber, FiberRef, SuspendReason};

/// The number of times that fibers are resumed in one turn, unless the turn's time is over: the number of fibers that
/// were ready at its beginning, or this number. Looking at the ring costs as much as a few resumptions, so the executor
/// does not do it after each.
const RESUMES_PER_TURN: usize = 64;

/// The number of tasks that are started after as many resumptions: a new task waits no longer than a ready fiber.
pub(super) const STARTS: usize = 8;

/// The number of fibers that stay in a core's own caches between their turns: each touches some 2 KiB, on pages of its
/// own.
const WARM_FIBERS: usize = 200;

impl Executor {
    /// Alternates between running fibers and starting tasks, up to the budget.
    pub(super) fn run_fibers(&self) {
        let budget = self.ready.len().max(RESUMES_PER_TURN);
        let cold = self.live.borrow().len() > WARM_FIBERS;
        self.turn_begins.set(true);
        self.turn_time.begin(self.has_others_to_serve(), monotonic_now);
        self.tell_load();
        self.start_task();
        for resumed in 0..budget {
            if resumed % STARTS == STARTS - 1 {
                self.start_tasks();
            }
            let next = self.ready.pop().or_else(|| {
                self.start_task();
                self.ready.pop()
            });
            let Some(fiber) = next else { break };
            if cold && let Some(next) = self.ready.first() {
                // SAFETY: queued fibers are live; only this loop lets one end.
                unsafe { next.get() }.prefetch();
            }
            // SAFETY: queued fibers are live; only this loop lets one end.
            if self.run_fiber(unsafe { fiber.get() }) {
                break;
            }
        }
    }

    /// Returns true if there is other work besides the ready fibers: timers, completions that may come, tasks that have
    /// not started, or messages from other threads.
    #[inline]
    pub(super) fn has_others_to_serve(&self) -> bool {
        self.has_events() || self.seems_to_have_unstarted() || self.inbox.has_left()
    }

    /// Checks for most of that work, cheaply enough to be called after each resumption.
    #[inline]
    fn has_events(&self) -> bool {
        // Without jumps, because most of the time none of them is true.
        (self.in_flight.get() > 0) | !self.timers.is_empty() | self.inbox.has_woken()
    }

    /// Returns true if the turn is over after this resumption: because its time has passed or, if there was no other
    /// work, as soon as some appears.
    #[inline]
    fn is_turn_over(&self) -> bool {
        if self.turn_time.serves() {
            self.turn_time.is_look_due() && self.turn_time.is_over(monotonic_now())
        } else {
            self.has_events() || self.turn_time.is_look_due() && self.has_others_to_serve()
        }
    }

    /// Returns true if the running fiber should let others run because the turn is over.
    #[inline]
    pub(super) fn has_run_long(&self) -> bool {
        let has_others = self.has_others_to_serve();
        if !has_others && self.ready.is_empty() {
            return false;
        }
        let is_over = has_others && !self.turn_time.serves() || self.turn_time.is_over(monotonic_now());
        if is_over {
            self.turn_time.look_next();
        }
        is_over
    }

    /// Runs a fiber until it suspends. Returns true if the time of the turn is over then.
    #[inline]
    fn run_fiber(&self, fiber: &Fiber) -> bool {
        let pause = fiber.resume();
        let is_over = self.is_turn_over();
        match pause {
            // This fiber may be the one that took so long, so those that are served now come first.
            SuspendReason::Yield if is_over => self.overdue.set(Some(FiberRef::new(fiber))),
            SuspendReason::Yield => self.queue(fiber),
            // No other code has run on this thread since the fiber looked for its token, and wake-ups from other
            // threads arrive between fibers.
            SuspendReason::Park => fiber.parked.set(true),
            SuspendReason::Idle => self.retire(fiber),
        }
        is_over
    }

    /// Makes the fiber of a woken block ready if it is parked; otherwise returns false.
    #[inline]
    pub(crate) fn make_ready_block(&self, block: &WakeBlock) -> bool {
        // SAFETY: its owner, if it has one, is a fiber of this executor, live or idle.
        self.owns(block) && unsafe { self.ready.make_block_ready(block) }
    }

    #[inline]
    pub(super) fn make_ready(&self, fiber: &Fiber) -> bool {
        // SAFETY: the fiber is this executor's, and live: only the loop above lets a fiber end, after it has popped it.
        unsafe { self.ready.make_ready(fiber) }
    }

    #[inline]
    pub(super) fn queue(&self, fiber: &Fiber) {
        // SAFETY: the fiber is this executor's, and live: only the loop above lets a fiber end, after it has popped it.
        unsafe { self.ready.push(fiber) };
    }

    #[inline]
    pub(super) fn fire_timers(&self) {
        if self.timers.next().is_none() {
            return;
        }
        let now = monotonic_now();
        while let Some(fiber) = self.timers.pop_passed(now) {
            // SAFETY: the fiber is live: it disarms its timer before it leaves the park in which it armed it.
            self.make_ready(unsafe { fiber.get() });
        }
    }
}
