//! Models of how a task and its handle separate: loom runs `task/join.rs` itself through every interleaving, around a
//! slot that belongs to the runner or to the handle.
#![allow(unsafe_code)]

#[path = "support/loom_context.rs"]
mod context;
#[path = "../src/task/join.rs"]
#[allow(dead_code)]
mod join;
#[path = "support/loom_primitive.rs"]
mod primitive;

use std::sync::Arc;

use context::{Unparker, WakeBlock};
use join::{End, JoinWord};
use loom::thread;
use primitive::{AtomicU32, Guarded, Ordering, explore};

struct Task {
    join: JoinWord<WakeBlock>,
    slot: Guarded,
    /// The resources of the task, which it frees between its two steps.
    occupied: Guarded,
    disposed: AtomicU32,
}

impl Task {
    /// Starts a runner on a thread of its own.
    fn start() -> (Arc<Self>, thread::JoinHandle<()>) {
        let task = Arc::new(Self {
            join: JoinWord::new(),
            slot: Guarded::new(),
            occupied: Guarded::new(),
            disposed: AtomicU32::new(0),
        });
        let running = task.clone();
        (task, thread::spawn(move || running.run()))
    }

    fn run(&self) {
        self.slot.write();
        match self.join.end() {
            End::Detached => {
                self.dispose();
                self.occupied.write();
            }
            End::Handed(early) => {
                self.occupied.write();
                for waiter in [early, self.join.finish()].into_iter().flatten() {
                    // SAFETY: `watch` was given this pointer.
                    unsafe { Unparker::from_ptr(waiter) }.unpark();
                }
            }
        }
    }

    fn dispose(&self) {
        self.slot.write();
        self.disposed.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) {
        self.slot.write();
        self.occupied.write();
    }
}

/// Everything happens on one thread, with a waiter that is watched for twice.
#[test]
fn a_waiter_comes_out_once_at_whichever_end_comes_next() {
    explore(3, || {
        let waiter = Unparker::new().as_ptr();
        let word = JoinWord::new();
        assert!(word.watch(waiter).is_some());
        assert!(matches!(word.end(), End::Handed(Some(out)) if out == waiter));
        assert!(!word.is_done());
        assert!(word.watch(waiter).is_some(), "it has not finished");
        assert_eq!(word.finish(), Some(waiter));
        assert!(word.is_done() && word.watch(waiter).is_none());
        assert!(word.detach(), "the result was there");
    });
}

#[test]
fn who_stops_watching_is_not_told() {
    explore(3, || {
        let waiter = Unparker::new().as_ptr();
        let word = JoinWord::new();
        let watch = word.watch(waiter).unwrap();
        word.unwatch(watch);
        assert!(matches!(word.end(), End::Handed(None)));
        let watch = word.watch(waiter).unwrap();
        word.unwatch(watch);
        assert_eq!(word.finish(), None);
    });
}

/// Waits as `TaskCell::wait` does; the word contains the waiter.
#[test]
fn a_joiner_finds_the_result_and_what_the_task_occupied() {
    explore(3, || {
        let (task, runner) = Task::start();
        let waiter = Unparker::new();
        if task.join.watch(waiter.as_ptr()).is_some() {
            while !task.join.is_done() {
                thread::yield_now();
            }
            task.take();
            runner.join().unwrap();
            assert_eq!(waiter.wakes(), 1, "who waits is woken, once");
        } else {
            task.take();
            runner.join().unwrap();
            assert_eq!(waiter.wakes(), 0);
        }
    });
}

/// Checks without waiting.
#[test]
fn who_finds_the_task_done_finds_the_result() {
    explore(3, || {
        let (task, runner) = Task::start();
        if task.join.is_done() {
            task.take();
        }
        runner.join().unwrap();
    });
}

#[test]
fn a_detached_result_is_disposed_of_by_one_of_the_two() {
    explore(3, || {
        let (task, runner) = Task::start();
        if task.join.detach() {
            task.dispose();
        }
        runner.join().unwrap();
        assert_eq!(task.disposed.load(Ordering::Relaxed), 1);
    });
}

/// A wait for several things, in which another one comes first.
#[test]
fn a_handle_that_has_waited_for_something_else_can_be_given_up() {
    explore(3, || {
        let (task, runner) = Task::start();
        let waiter = Unparker::new();
        if let Some(watch) = task.join.watch(waiter.as_ptr()) {
            task.join.unwatch(watch);
        }
        if task.join.detach() {
            task.dispose();
        }
        runner.join().unwrap();
        assert_eq!(task.disposed.load(Ordering::Relaxed), 1);
        assert!(waiter.wakes() <= 1);
    });
}

#[test]
fn a_handle_that_has_waited_for_something_else_can_wait_again() {
    explore(3, || {
        let (task, runner) = Task::start();
        let watch = task.join.watch(Unparker::new().as_ptr());
        if let Some(watch) = watch {
            task.join.unwatch(watch);
            let waiter = Unparker::new();
            let watched = task.join.watch(waiter.as_ptr()).is_some();
            while !task.join.is_done() {
                thread::yield_now();
            }
            task.take();
            runner.join().unwrap();
            assert_eq!(waiter.wakes(), u32::from(watched));
        } else {
            runner.join().unwrap();
        }
    });
}
