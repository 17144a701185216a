//! The statements of SOUNDNESS.md about leaked handles, panics and `no_suspend`, on every backend.
//!
//! Evented runs with one executor here, so that its fibers share a thread: only there could they harm each other.

#![forbid(unsafe_code)]

mod support;

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite::sync::{Event, Mutex};
use iolite::{Canceled, Io, OwnedGroup, no_suspend};
use iolite_conformance::{Case, On, cases, run_cases};

const CASES: &[Case] = cases![
    a_leaked_task_is_waited_for_at_shutdown,
    a_leaked_member_is_waited_for_by_its_group,
    a_leaked_owned_group_ends_with_the_runtime,
    whoever_waits_for_a_leaked_guard_can_be_canceled,
    a_panic_ends_its_own_task_and_is_its_joiners,
    a_group_waits_outside_of_its_bodys_unwinding,
    no_suspend_refuses_what_would_interleave_a_thread_local(sleep),
    no_suspend_refuses_what_would_interleave_a_thread_local(point),
    no_suspend_refuses_what_would_interleave_a_thread_local(yielding),
    no_suspend_refuses_what_would_interleave_a_thread_local(parking),
];

fn main() -> ExitCode {
    run_cases(support::subjects(), &[CASES])
}

/// Runs a case until its runtime has ended.
fn run<T>(on: &On, case: impl FnOnce(&dyn Io) -> T) -> T {
    on.executors(1).main(case)
}

/// Returns a closure that sleeps until it is canceled, and counts the cancellation.
fn sleeper(canceled: &Arc<AtomicUsize>) -> impl FnOnce(&dyn Io) + Send + 'static {
    let canceled = canceled.clone();
    move |io| {
        if io.sleep(Duration::MAX).is_err() {
            canceled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn a_leaked_task_is_waited_for_at_shutdown(on: &On) {
    let canceled = Arc::default();
    run(on, |io| mem::forget(io.spawn_concurrent(sleeper(&canceled)).unwrap()));
    assert_eq!(canceled.load(Ordering::Relaxed), 1);
}

fn a_leaked_member_is_waited_for_by_its_group(on: &On) {
    run(on, |io| {
        let (begin, ended) = (Event::new(), AtomicBool::new(false));
        let result: Result<(), Canceled> = io.group(|group| {
            let member = group.spawn_concurrent(|io| {
                begin.wait_uncancelable(io);
                ended.store(true, Ordering::Relaxed);
            });
            mem::forget(member.unwrap());
            begin.set();
            Ok(())
        });
        result.unwrap();
        assert!(ended.load(Ordering::Relaxed), "the group returned before its member");
    });
}

fn a_leaked_owned_group_ends_with_the_runtime(on: &On) {
    let canceled = Arc::default();
    run(on, |io| {
        let group = OwnedGroup::new(io.handle().unwrap());
        for _ in 0..3 {
            drop(group.spawn_concurrent(sleeper(&canceled)).unwrap());
        }
        mem::forget(group);
    });
    assert_eq!(canceled.load(Ordering::Relaxed), 3);
}

fn whoever_waits_for_a_leaked_guard_can_be_canceled(on: &On) {
    run(on, |io| {
        let mutex = Mutex::new(());
        mem::forget(mutex.lock(io).unwrap());
        let result: Result<(), Canceled> = io.group(|group| {
            let waiter = group.spawn_concurrent(|io| mutex.lock(io).map(drop)).unwrap();
            assert!(waiter.cancel(io).is_err(), "nobody unlocks it");
            Ok(())
        });
        result.unwrap();
        assert!(mutex.try_lock().is_none());
    });
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Sets a thread-local, calls out, and restores the old value, as `scoped_tls` does.
fn nested(call: impl FnOnce()) -> u32 {
    let before = DEPTH.replace(DEPTH.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    let inside = DEPTH.replace(before);
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
    inside
}

fn sleep(io: &dyn Io) {
    drop(io.sleep(Duration::ZERO));
}

fn point(io: &dyn Io) {
    drop(io.check_cancel());
}

fn yielding(io: &dyn Io) {
    io.yield_now();
}

fn parking(io: &dyn Io) {
    io.park(Some(io.now()));
}

fn no_suspend_refuses_what_would_interleave_a_thread_local(on: &On, suspension: fn(&dyn Io)) {
    run(on, |io| {
        let refused = catch_unwind(AssertUnwindSafe(|| nested(|| no_suspend(|| suspension(io)))));
        let message = *refused.expect_err("it suspended").downcast::<&str>().expect("a message");
        assert!(message.contains("inside no_suspend"), "{message}");
        assert_eq!(nested(|| no_suspend(|| ())), 1);
        // Outside of it, suspending is allowed again.
        suspension(io);
    });
}

fn a_panic_ends_its_own_task_and_is_its_joiners(on: &On) {
    run(on, |io| {
        let go = Event::new();
        let result: Result<(), Canceled> = io.group(|group| {
            let bystander = group.spawn_concurrent(|io| {
                go.wait_uncancelable(io);
                thread::panicking()
            });
            let bystander = bystander.unwrap();
            let panicking = group.spawn_concurrent(|_| resume_unwind(Box::new("told to"))).unwrap();
            let panic = catch_unwind(AssertUnwindSafe(|| panicking.join(io))).map(|()| "no panic").unwrap_err();
            assert_eq!(*panic.downcast::<&str>().unwrap(), "told to");
            go.set();
            assert!(!bystander.join(io));
            Ok(())
        });
        result.unwrap();
    });
}

fn a_group_waits_outside_of_its_bodys_unwinding(on: &On) {
    run(on, |io| {
        let panicking = AtomicBool::new(false);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            io.group(|group| -> Result<(), Canceled> {
                let member = group.spawn_concurrent(|io| {
                    drop(io.sleep(Duration::MAX));
                    // On Evented, this runs on the thread of the body that panicked.
                    panicking.store(thread::panicking(), Ordering::Relaxed);
                });
                drop(member.unwrap());
                resume_unwind(Box::new("the body"));
            })
        }));
        outcome.map(drop).expect_err("the panic went on");
        assert!(!panicking.load(Ordering::Relaxed), "a member ran in the middle of the unwinding");
    });
}
