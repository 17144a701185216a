//! Memory safety depends neither on the behaviour of an `Io` nor on where a wait panics.
//!
//! A use after free would show here as a wrong order: a result that borrows from a scope would be dropped after the
//! scope has ended.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use iolite_io::backend::{Refused, SpawnMode, Start, TaskRef, monotonic_now};
use iolite_io::sync::Event;
use iolite_io::{
    Backend, Canceled, Group, Instant, Io, SpawnErrorKind,
    error::ShutDown,
    no_suspend,
    operation::{Operation, Output},
};

/// The action of a test's `Io` on a task that it has to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starts {
    Well,
    /// Starts the task, and then panics.
    AndPanics,
    /// Starts the task, and refuses the previous one, which it has kept.
    AndRefusesAnother,
    /// Refuses the task, as a runtime does that has shut down.
    Nothing,
}

/// Runs tasks on threads, and keeps every task that it has seen.
struct Hostile {
    starts: Starts,
    seen: Mutex<Vec<TaskRef>>,
    kept: Mutex<Option<Start>>,
}

impl Hostile {
    fn new(starts: Starts) -> Self {
        Self { starts, seen: Mutex::default(), kept: Mutex::default() }
    }
}

impl Io for Hostile {
    fn start(&self, start: Start, _: SpawnMode) -> Result<(), Refused> {
        self.seen.lock().unwrap().push(start.task());
        let refused = |start| Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) });
        if self.starts == Starts::Nothing {
            return refused(start);
        }
        if self.starts == Starts::AndRefusesAnother {
            let mut kept = self.kept.lock().unwrap();
            match kept.take() {
                None => *kept = Some(start),
                Some(other) => {
                    thread::spawn(move || start.run());
                    return refused(other);
                }
            }
            return Ok(());
        }
        thread::spawn(move || start.run());
        assert!(self.starts != Starts::AndPanics, "told by start");
        Ok(())
    }

    fn operate(&self, _: Operation<'_>) -> io::Result<Output> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        monotonic_now()
    }

    fn random(&self, _: &mut [u8]) -> io::Result<()> {
        Ok(())
    }

    fn backend(&self) -> Backend {
        Backend { name: "hostile", executors: 1, detail: String::new() }
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }
}

/// A result that could borrow from the scope of its group. It reports if it is dropped too late.
#[derive(Clone, Default)]
struct Borrows {
    scope_over: Arc<AtomicBool>,
    late: Arc<AtomicU32>,
}

impl Drop for Borrows {
    fn drop(&mut self) {
        if self.scope_over.load(Ordering::SeqCst) {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Runs `body` in a group whose members return clones of the argument of `body`.
fn no_result_is_dropped_late(starts: Starts, body: impl for<'s> FnOnce(&'s Group<'s, '_>, &dyn Io, Borrows)) {
    let (scope_over, late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let result = Borrows { scope_over: scope_over.clone(), late: late.clone() };
    let hostile = Hostile::new(starts);
    let io: &dyn Io = &hostile;
    let _ = catch_unwind(AssertUnwindSafe(|| {
        io.group(|group| {
            body(group, io, result);
            Ok::<_, Canceled>(())
        })
    }));
    scope_over.store(true, Ordering::SeqCst);
    // These are the last references to the tasks.
    drop(hostile);
    assert_eq!(late.load(Ordering::SeqCst), 0, "a member's result outlived its scope");
}

#[test]
fn a_join_inside_no_suspend_leaves_no_result_behind() {
    no_result_is_dropped_late(Starts::Well, |group, io, result| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let member = group.spawn_concurrent(move |io| {
            theirs.wait_uncancelable(io);
            result
        });
        let member = member.unwrap();
        let refused = catch_unwind(AssertUnwindSafe(|| no_suspend(|| drop(member.join(io)))));
        assert!(refused.is_err());
        go.set();
    });
}

#[test]
fn a_start_that_panics_leaves_no_result_behind() {
    no_result_is_dropped_late(Starts::AndPanics, |group, _, result| {
        let _ = group.spawn_concurrent(move |_| result);
    });
}

#[test]
fn a_start_that_refuses_another_task_leaves_neither_behind() {
    no_result_is_dropped_late(Starts::AndRefusesAnother, |group, _, result| {
        let theirs = result.clone();
        let first = group.spawn_concurrent(move |_| theirs).unwrap();
        let second = catch_unwind(AssertUnwindSafe(|| drop(group.spawn_concurrent(move |_| result))));
        assert!(second.is_err(), "the mix-up is told");
        drop(first);
    });
}

#[test]
fn a_group_inside_no_suspend_does_not_return_before_its_members() {
    let hostile = Hostile::new(Starts::Well);
    let io: &dyn Io = &hostile;
    let (begun, ended, go) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)), Arc::new(Event::new()));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        no_suspend(|| {
            io.group(|group| {
                let (begun, ended, go) = (begun.clone(), ended.clone(), go.clone());
                begun.store(true, Ordering::SeqCst);
                let member = group.spawn_concurrent(move |io| {
                    go.wait_uncancelable(io);
                    ended.store(true, Ordering::SeqCst);
                });
                drop(member);
                Ok::<_, Canceled>(())
            })
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst), "a member outlived its scope");
    go.set();
}

#[test]
fn members_that_nest_too_deep_leave_their_group() {
    fn nest(io: &dyn Io, depth: u32) {
        let _ = io.group(|group| {
            drop(group.spawn_async(move |_| {
                if depth > 0 {
                    nest(&Hostile::new(Starts::Nothing), depth - 1)
                }
            }));
            Ok::<_, Canceled>(())
        });
    }
    let outcome = catch_unwind(|| nest(&Hostile::new(Starts::Nothing), 200));
    assert!(outcome.is_err(), "200 levels are too deep");
}

/// Set in the child process whose clock panics.
const CHILD: &str = "IOLITE_TEST_HOSTILE_CLOCK";

#[test]
fn a_panic_of_the_clock_unlinks_no_waiter_behind_its_back() {
    struct Clock(AtomicU32);

    impl Io for Clock {
        fn start(&self, start: Start, _: SpawnMode) -> Result<(), Refused> {
            start.run();
            Ok(())
        }
        fn operate(&self, _: Operation<'_>) -> io::Result<Output> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn now(&self) -> Instant {
            // The first call is that of `timeout` itself, the second that of the cancellation point before the wait.
            assert!(self.0.fetch_add(1, Ordering::Relaxed) < 2, "no time");
            Instant::ZERO
        }
        fn random(&self, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
        fn backend(&self) -> Backend {
            Backend { name: "clock", executors: 1, detail: String::new() }
        }
        fn handle(&self) -> Option<Arc<dyn Io>> {
            None
        }
    }

    if std::env::var_os(CHILD).is_some() {
        let clock = Clock(AtomicU32::new(0));
        let io: &dyn Io = &clock;
        let event = Event::new();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _: Result<(), _> = io.timeout(Duration::from_secs(1), |io| event.wait(io));
        }));
        // Serves every waiter that is linked.
        event.set();
        println!("went on");
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_of_the_clock_unlinks_no_waiter_behind_its_back", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(!told.contains("went on"), "a waiter was left linked in a frame that is gone");
    assert!(!child.status.success());
}

#[test]
fn an_inline_task_gets_a_timeout_back_that_it_gave_back() {
    let hostile = Hostile::new(Starts::Nothing);
    let io: &dyn Io = &hostile;
    let result: Result<(), _> = io.timeout(Duration::ZERO, |io| {
        io.group(|group| {
            let member = group.spawn_async(|io| {
                let canceled = io.check_cancel().unwrap_err();
                io.recancel(canceled);
                io.check_cancel()
            });
            member.join(io)
        })
    });
    assert!(result.is_err(), "the request was lost");
}

/// A panic payload whose destructor panics with the next one.
struct Chain(u32);

impl Drop for Chain {
    fn drop(&mut self) {
        if self.0 > 0 {
            resume_unwind(Box::new(Chain(self.0 - 1)));
        }
    }
}

#[test]
fn a_panic_whose_destructor_panics_does_not_reach_the_runner() {
    let hostile = Hostile::new(Starts::Nothing);
    let io: &dyn Io = &hostile;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        io.group(|group| {
            // The group takes the first panic; nobody takes the others.
            for _ in 0..3 {
                let member = group.spawn_async(|_| resume_unwind(Box::new(Chain(2))));
                let member: iolite_io::ScopedTask<'_, ()> = member;
                drop(member);
            }
            Ok::<_, Canceled>(())
        })
    }));
    std::mem::forget(outcome.unwrap_err());
}
