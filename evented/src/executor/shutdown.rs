//! The end of an executor.
#![allow(unsafe_code)]

use io_uring::opcode;
use iolite_io::backend::{TaskRef, monotonic_now};

use super::state::{Executor, Shutdown};
use crate::remote::NOBODY;
use crate::ring::Wait;

impl Executor {
    /// Does the work of the shutdown in each turn. Returns true when everything is done.
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

    /// Returns true if the runtime has ended and nothing of it is left here.
    fn has_ended(&self) -> bool {
        let has_fibers = !self.live.borrow().is_empty() || !self.unstarted.borrow().is_empty();
        self.runtime.is_closed() && self.runtime.has_no_foreign() && self.in_flight.get() == 0 && !has_fibers
    }

    /// Returns true if nothing has changed since `shut_down` looked.
    pub(super) fn may_sleep_closing(&self) -> bool {
        self.shutdown.get() != Shutdown::No && !self.has_ended()
    }

    /// Cancels everything that is in flight, now that no task is left: operations of threads that called a runtime that
    /// ends, and multishot operations whose handles still exist. It cancels them one by one, because older kernels
    /// cannot cancel all at once.
    fn cancel_rest(&self) {
        for user_data in self.foreign.user_data() {
            let entry = opcode::AsyncCancel::new(user_data).build().user_data(NOBODY);
            // SAFETY: the entry points to nothing.
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
            // The read of the event ends when the event is signaled.
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
