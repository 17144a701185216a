//! The executor's way in and out of the kernel, and the entries that have to be submitted before it enters again.
//!
//! The kernel completes what it has deferred for an executor's thread only inside of that thread's calls of
//! `io_uring_enter` (`IORING_SETUP_DEFER_TASKRUN`), and only after it has handled what the call submits. So an
//! operation takes nothing more once its cancellation was left here and the executor was seen outside: the next call
//! submits the cancellation first. An executor that is inside comes out soon, whatever its fibers do, because a thread
//! that leaves something wakes it.

use std::process;
use std::sync::{Condvar, Mutex, PoisonError};

use crossbeam_queue::SegQueue;

pub(crate) use super::visits::Inside;
use super::visits::Visits;

/// Values that other threads leave for an executor, and the executor's way in and out of the kernel.
#[derive(Debug)]
pub(crate) struct Passage<T> {
    left: SegQueue<T>,
    visits: Visits,
    lock: Mutex<()>,
    outside: Condvar,
    /// The process of the executor. In a process that was forked from it, the executor never comes out.
    process: u32,
}

impl<T> Passage<T> {
    pub(crate) fn new() -> Self {
        Self {
            left: SegQueue::new(),
            visits: Visits::new(),
            lock: Mutex::new(()),
            outside: Condvar::new(),
            process: process::id(),
        }
    }

    /// Leaves a value, after which the executor has to be woken. Returns the call that the executor is in, if it is
    /// inside.
    pub(crate) fn leave(&self, what: T) -> Option<Inside> {
        self.left.push(what);
        self.visits.look()
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.left.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Blocks the calling thread until the executor, which was woken, has left that call.
    pub(crate) fn wait_until_outside(&self, inside: Inside) {
        if process::id() != self.process {
            return;
        }
        self.visits.begin_wait();
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.visits.is_in(inside) {
            guard = self.outside.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.visits.end_wait();
    }

    /// Announces that the executor enters the kernel. Afterwards the executor looks for what was left.
    pub(crate) fn go_in(&self) {
        self.visits.go_in();
    }

    /// Announces that the executor has come out.
    pub(crate) fn come_out(&self) {
        if self.visits.come_out() {
            // Taken so that no notification is lost: a waiting thread checks the count and goes to sleep without
            // releasing the lock in between.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.outside.notify_all();
        }
    }
}

#[cfg(test)]
mod test {
    use std::thread;

    use super::*;

    #[test]
    fn who_finds_the_executor_inside_waits_until_it_is_out() {
        let passage = Passage::new();
        assert!(passage.leave(0).is_none());
        assert_eq!(passage.take(), Some(0));
        passage.go_in();
        thread::scope(|threads| {
            threads.spawn(|| {
                passage.wait_until_outside(passage.leave(1).expect("it is inside"));
                assert!(passage.leave(2).is_none());
            });
            while passage.is_empty() {
                thread::yield_now();
            }
            assert_eq!((passage.take(), passage.take()), (Some(1), None));
            passage.come_out();
        });
        assert_eq!(passage.take(), Some(2));
    }
}
