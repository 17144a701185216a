//! How an executor runs its fibers within a turn.
#![allow(unsafe_code)]

use iolite_io::backend::{WakeBlock, monotonic_now};

use super::state::Executor;
use crate::fiber::{Fiber, FiberRef, SuspendReason};

/// How often fibers are resumed in one turn, unless its time is over: as often as fibers were ready at its beginning,
/// or that often. A look at the ring costs as much as a few resumptions, so not after each.
const RESUMES_PER_TURN: usize = 64;

/// How many tasks are started after as many resumptions: a task that has not started waits no longer than a fiber that is
/// ready.
pub(super) const STARTS: usize = 8;

/// As many fibers as stay in a core's own caches between their turns: each touches some 2 KiB, on pages of its own.
const WARM_FIBERS: usize = 200;

impl Executor {
    /// Runs fibers and starts tasks, in turn, up to the budget.
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

    /// Whether there is something to look after beside the fibers that are ready: timers, completions that may come, tasks
    /// that have not started, what other threads left.
    #[inline]
    pub(super) fn has_others_to_serve(&self) -> bool {
        self.has_events() || self.seems_to_have_unstarted() || self.inbox.has_left()
    }

    /// Most of it, and as cheap as it has to be after each resumption.
    #[inline]
    fn has_events(&self) -> bool {
        // Without jumps: most of the time it is none of them.
        (self.in_flight.get() > 0) | !self.timers.is_empty() | self.inbox.has_woken()
    }

    /// Whether the turn is over after this resumption: by its time or, where there was nothing to look after, as soon as
    /// something comes up.
    #[inline]
    fn is_turn_over(&self) -> bool {
        if self.turn_time.serves() {
            self.turn_time.is_look_due() && self.turn_time.is_over(monotonic_now())
        } else {
            self.has_events() || self.turn_time.is_look_due() && self.has_others_to_serve()
        }
    }

    /// Whether the running fiber should let others run, because the turn is over.
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

    /// Runs a fiber until it pauses; whether the time of the turn is over then.
    #[inline]
    fn run_fiber(&self, fiber: &Fiber) -> bool {
        let pause = fiber.resume();
        let is_over = self.is_turn_over();
        match pause {
            // It may be what took so long: those who are looked after now come first.
            SuspendReason::Yield if is_over => self.overdue.set(Some(FiberRef::new(fiber))),
            SuspendReason::Yield => self.queue(fiber),
            // Nobody else ran on this thread since it looked for its token, and wakes of other threads
            // arrive between fibers.
            SuspendReason::Park => fiber.parked.set(true),
            SuspendReason::Idle => self.retire(fiber),
        }
        is_over
    }

    /// Makes the fiber of a woken block run, if it is parked; else `false`.
    #[inline]
    pub(crate) fn make_ready_block(&self, block: &WakeBlock) -> bool {
        // SAFETY: its owner, if it has one, is a fiber of this executor, live or idle.
        self.owns(block) && unsafe { self.ready.make_block_ready(block) }
    }

    #[inline]
    pub(super) fn make_ready(&self, fiber: &Fiber) -> bool {
        // SAFETY: this executor's, and live: only the loop above lets a fiber end, after it popped it.
        unsafe { self.ready.make_ready(fiber) }
    }

    #[inline]
    pub(super) fn queue(&self, fiber: &Fiber) {
        // SAFETY: this executor's, and live: only the loop above lets a fiber end, after it popped it.
        unsafe { self.ready.push(fiber) };
    }

    #[inline]
    pub(super) fn fire_timers(&self) {
        if self.timers.next().is_none() {
            return;
        }
        let now = monotonic_now();
        while let Some(fiber) = self.timers.pop_passed(now) {
            // SAFETY: it is live: it disarms its timer before it leaves the park in which it armed it.
            self.make_ready(unsafe { fiber.get() });
        }
    }
}
