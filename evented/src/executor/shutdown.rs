//! The end of an executor.
#![allow(unsafe_code)]

use io_uring::opcode;
use iolite_io::backend::{TaskRef, monotonic_now};

use super::state::{Executor, Shutdown};
use crate::remote::NOBODY;
use crate::ring::Wait;

impl Executor {
    /// What shutting down needs in each turn; `true` when all is done.
    pub(super) fn shut_down(&self) -> bool {
        match self.shutdown.get() {
            Shutdown::No => {
                self.shutdown.set(Shutdown::Since(monotonic_now() + self.runtime.report().grace()));
                self.runtime.executors().tasks_of(self.index).iter().for_each(TaskRef::tear_down);
            }
            Shutdown::Since(instant) if instant <= monotonic_now() => {
                self.shutdown.set(Shutdown::Reported);
                self.runtime.report().name_stuck(&self.runtime.tasks());
            }
            Shutdown::Since(_) | Shutdown::Reported | Shutdown::Over => {}
        }
        if !self.runtime.is_closed() {
            return false;
        }
        if self.in_flight.get() > 0 {
            self.cancel_rest();
        }
        self.has_ended()
    }

    /// Whether the runtime has, and nothing of it is left here.
    fn has_ended(&self) -> bool {
        let has_fibers = !self.live.borrow().is_empty() || !self.unstarted.borrow().is_empty();
        self.runtime.is_closed() && self.runtime.has_no_foreign() && self.in_flight.get() == 0 && !has_fibers
    }

    /// Whether nothing has changed since `shut_down` looked.
    pub(super) fn may_sleep_closing(&self) -> bool {
        self.shutdown.get() != Shutdown::No && !self.has_ended()
    }

    /// Cancels all that is in flight, now that no task is left: the operations of threads that called
    /// a runtime which ends, and multishot operations that somebody kept. One by one: older kernels cannot
    /// cancel all at once.
    fn cancel_rest(&self) {
        for user_data in self.foreign.user_data() {
            let entry = opcode::AsyncCancel::new(user_data).build().user_data(NOBODY);
            // SAFETY: it points to nothing.
            unsafe { self.push(entry) };
        }
        self.multishot.unfinished().iter().for_each(|operation| self.cancel_multishot(operation));
        self.ring.turn(Wait::No);
        self.ring.reap(|user_data, result, flags| self.complete(user_data, result, flags));
    }

    /// Waits for the last completions and gives the fibers back.
    pub(super) fn end(&self) {
        self.shutdown.set(Shutdown::Over);
        while self.event.armed.get() || self.in_flight.get() > 0 {
            // The event's read ends by being served.
            self.inbox.ring_event();
            self.ring.turn(Wait::Forever);
            self.ring.reap(|user_data, result, flags| self.complete(user_data, result, flags));
        }
        self.multishot.leak();
        self.buffers.clear(&self.ring);
        self.discard(self.idle.take_all());
        debug_assert!(self.live.borrow().is_empty());
    }
}
