//! The choice who begins a task of `spawn_async`: a worker, or the thread that joins it.

mod support;

use std::cell::Cell;
use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use iolite_io::no_suspend;
use support::threaded;

#[test]
fn a_joiner_begins_a_task_that_no_worker_has_begun() {
    threaded(1, 0).run(|io| {
        let here = thread::current().id();
        // It repeats this as often as needed, because the worker may be faster.
        while io.spawn_async(|_| thread::current().id()).join(io) != here {}
    });
}

#[test]
fn a_worker_begins_a_task_whose_starter_neither_joins_nor_blocks() {
    threaded(1, 0).run(|io| {
        for _ in 0..100 {
            let task = io.spawn_async(|_| thread::current().id());
            while !task.is_finished() {
                hint::spin_loop();
            }
            assert_ne!(task.join(io), thread::current().id());
        }
    });
}

#[test]
fn every_task_of_a_burst_is_begun_though_nobody_joins() {
    threaded(8, 0).run(|io| {
        for _ in 0..100 {
            let tasks: Vec<_> = (0..8).map(|_| io.spawn_async(|_| ())).collect();
            while !tasks.iter().all(|task| task.is_finished()) {
                hint::spin_loop();
            }
            tasks.into_iter().for_each(|task| task.join(io));
        }
    });
}

/// The joiner's stack may be too small for the task.
#[test]
fn a_worker_of_another_pool_does_not_begin_the_task_that_it_joins() {
    let other = threaded(0, 1);
    threaded(1, 0).run(|io| {
        let other = other.io();
        let join_all = |_: &dyn iolite_io::Io| {
            for _ in 0..1_000 {
                assert_ne!(io.spawn_async(|_| thread::current().id()).join(io), thread::current().id());
            }
        };
        let joined = other.group(|group| {
            group.spawn_concurrent(join_all).unwrap().join(other);
            Ok::<_, ()>(())
        });
        joined.unwrap();
    });
    other.shutdown();
}

#[test]
fn a_join_where_nothing_may_suspend_begins_nothing() {
    threaded(1, 0).run(|io| {
        for _ in 0..100 {
            // If the previous task still has the slot, this one runs here, but before the join.
            let on_its_joiner = Arc::new(AtomicBool::new(false));
            let theirs = on_its_joiner.clone();
            let task = io.spawn_async(move |_| theirs.store(JOINING.get(), Ordering::SeqCst));
            let joined = catch_unwind(AssertUnwindSafe(|| {
                JOINING.set(true);
                no_suspend(|| task.join(io))
            }));
            JOINING.set(false);
            assert!(joined.is_err(), "also where the worker was faster, and there was nothing to wait for");
            assert!(!on_its_joiner.load(Ordering::SeqCst));
        }
    });
}

thread_local! {
    static JOINING: Cell<bool> = const { Cell::new(false) };
}
