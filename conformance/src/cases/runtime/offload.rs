//! Closures that block their thread.

use std::cell::Cell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{Canceled, error::ShutDown, fs, process};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, panic_of, panic_quietly, scope, started};

pub(crate) const CASES: &[Case] = cases![
    the_closure_borrows_and_its_value_comes_back,
    its_panic_is_resumed_in_the_caller,
    no_executor_stands_still_meanwhile,
    closures_beyond_the_limit_wait,
    calls_on_files_wait_for_no_closure,
    a_closure_that_offloads_waits_for_no_other_thread,
    a_closure_that_has_not_begun_is_withdrawn,
    what_has_begun_is_waited_for_and_its_value_returned,
    what_it_calls_through_io_is_not_canceled,
    it_works_while_the_runtime_shuts_down_and_not_after,
    each_closure_runs_once,
];

fn the_closure_borrows_and_its_value_comes_back(on: &On) {
    on.run(|io| {
        let (text, mut seen) = (String::from("borrowed"), 0);
        let length = io.offload(|| {
            seen += 1;
            text.len()
        });
        assert_eq!((length.expect("run"), seen), (8, 1));
        let boxed = io.offload(|| Box::new([7_u8; 1 << 16])).expect("run");
        assert!(boxed.iter().all(|byte| *byte == 7));
    });
}

fn its_panic_is_resumed_in_the_caller(on: &On) {
    on.run(|io| {
        for round in 0..3 {
            let text = panic_of(|| io.offload(|| panic_quietly(&format!("no luck {round}"))));
            assert_eq!(text, format!("no luck {round}"));
        }
        assert_eq!(io.offload(|| 1).expect("the pool lives on"), 1);
    });
}

/// On one executor, a closure that waits for another fiber gets what it waits for.
fn no_executor_stands_still_meanwhile(on: &On) {
    on.executors(1).in_task(|io| {
        let (send, receive) = mpsc::channel();
        scope(io, |group| {
            let waiting = concurrently(group, move |io| io.offload(move || receive.recv()));
            let sending = concurrently(group, move |_| send.send(5).expect("it waits"));
            sending.join(io);
            assert_eq!(waiting.join(io).expect("run").expect("sent"), 5);
        });
    });
}

fn closures_beyond_the_limit_wait(on: &On) {
    let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on.offload_limit(2).in_task(|io| {
        scope(io, |group| {
            for _ in 0..16 {
                drop(concurrently(group, |io| {
                    let count = || {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    };
                    io.offload(count).expect("run");
                }));
            }
        });
    });
    let most = most.into_inner();
    assert!(on.tasks_are_threads() || most <= 2, "{most} at once");
}

/// A closure may wait for the results of file operations.
fn calls_on_files_wait_for_no_closure(on: &On) {
    on.offload_limit(1).run(|io| {
        let (send, receive) = mpsc::channel::<usize>();
        let begun = Event::new();
        scope(io, |group| {
            let begins = &begun;
            let waiting = concurrently(group, move |io| {
                io.offload(move || {
                    begins.set();
                    receive.recv()
                })
            });
            let listing = concurrently(group, |io| {
                begun.wait_uncancelable(io);
                let folder = fs::read_dir(io, "/").expect("opened");
                send.send(folder.count()).expect("it waits");
                process::status(io, &mut Command::new("true")).expect("run");
            });
            listing.join(io);
            assert!(waiting.join(io).expect("run").expect("sent") > 0);
        });
    });
}

/// A caller that has a thread needs none of the pool's threads.
fn a_closure_that_offloads_waits_for_no_other_thread(on: &On) {
    on.offload_limit(1).run(|io| {
        let nested = io.offload(|| io.offload(|| thread::current().id()).map(|inner| (inner, thread::current().id())));
        let (inner, outer) = nested.expect("run").expect("run");
        assert_eq!(inner, outer);
    });
}

/// A caller without a thread may stop waiting for one: the closure is dropped without running.
fn a_closure_that_has_not_begun_is_withdrawn(on: &On) {
    if on.tasks_are_threads() {
        return on.not_run("a task begins at once with what it offloads");
    }
    on.offload_limit(1).executors(1).in_task(|io| {
        let (release, blocked) = mpsc::channel::<()>();
        let (holds, dropped) = (Event::new(), AtomicBool::new(false));
        struct Tells<'a>(&'a AtomicBool);
        impl Drop for Tells<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        scope(io, |group| {
            let theirs = &holds;
            let holder = concurrently(group, move |io| {
                io.offload(move || {
                    theirs.set();
                    blocked.recv()
                })
            });
            holds.wait_uncancelable(io);
            let tells = Tells(&dropped);
            let waiter = started(group, io, |io| {
                io.offload(move || {
                    let _tells = tells;
                    unreachable!("there is no thread for it")
                })
            });
            let result: std::io::Result<()> = waiter.cancel(io);
            assert!(Canceled::is_in(&result.expect_err("canceled")));
            assert!(dropped.load(Ordering::SeqCst));
            release.send(()).expect("it waits");
            holder.join(io).expect("run").expect("sent");
            assert_eq!(io.offload(|| 3).expect("the thread is free again"), 3);
        });
    });
}

fn what_has_begun_is_waited_for_and_its_value_returned(on: &On) {
    on.run(|io| {
        let (release, blocked) = mpsc::channel::<()>();
        let (begun, ended) = (Event::new(), AtomicBool::new(false));
        scope(io, |group| {
            let (begun, ended) = (&begun, &ended);
            let member = concurrently(group, move |io| {
                let value = io.offload(move || {
                    begun.set();
                    blocked.recv().expect("released");
                    ended.store(true, Ordering::SeqCst);
                    17
                });
                (value, io.check_cancel())
            });
            begun.wait_uncancelable(io);
            member.request_cancel();
            assert!(!ended.load(Ordering::SeqCst));
            release.send(()).expect("it waits");
            let (value, pending) = member.join(io);
            assert_eq!(value.expect("run"), 17);
            let Canceled { .. } = pending.expect_err("the request stays pending");
        });
    });
}

/// It runs as on a thread of the pool, which belongs to no task.
fn what_it_calls_through_io_is_not_canceled(on: &On) {
    on.in_task(|io| {
        let result = io.timeout(Duration::ZERO, |io| io.shield(|io| io.offload(|| io.check_cancel().is_ok())));
        assert!(result.expect("run"));
        let (begun, requested) = (Event::new(), Event::new());
        scope(io, |group| {
            let member = concurrently(group, |io| {
                io.offload(|| {
                    begun.set();
                    requested.wait_uncancelable(io);
                    io.check_cancel().is_ok()
                })
            });
            begun.wait_uncancelable(io);
            member.request_cancel();
            requested.set();
            assert!(member.join(io).expect("run"));
        });
    });
}

fn it_works_while_the_runtime_shuts_down_and_not_after(on: &On) {
    let runtime = on.start();
    let handle = runtime.handle();
    let (tell, told) = mpsc::channel();
    let waiting = Event::new();
    let waiting = std::sync::Arc::new(waiting);
    let theirs = waiting.clone();
    let task = runtime.io().spawn_concurrent(move |io| {
        theirs.set();
        let _ = io.sleep(Duration::from_secs(3600));
        let sum = io.shield(|io| io.offload(|| 20 + 22));
        tell.send(sum).expect("somebody listens");
    });
    task.expect("concurrent").detach();
    waiting.wait_uncancelable(runtime.io());
    runtime.shutdown();
    assert_eq!(told.recv().expect("told").expect("run"), 42);
    let error = handle.offload::<()>(|| unreachable!("there is no runtime")).expect_err("over");
    assert!(error.get_ref().is_some_and(|source| source.is::<ShutDown>()), "{error}");
}

/// Many closures at once, from everywhere: each runs once, on a thread that it has to itself.
fn each_closure_runs_once(on: &On) {
    thread_local!(static BUSY: Cell<bool> = const { Cell::new(false) });
    let sum = AtomicUsize::new(0);
    on.offload_limit(3).executors(2).on_thread(|io| {
        let all = Barrier::new(3);
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    all.wait();
                    (0..200).for_each(|_| io.offload(|| _ = sum.fetch_add(1, Ordering::Relaxed)).expect("run"));
                });
            }
            all.wait();
            scope(io, |group| {
                for _ in 0..20 {
                    drop(concurrently(group, |io| {
                        for _ in 0..20 {
                            let once = || {
                                assert!(!BUSY.replace(true));
                                sum.fetch_add(1, Ordering::Relaxed);
                                BUSY.set(false);
                            };
                            io.offload(once).expect("run");
                        }
                    }));
                }
            });
        });
    });
    assert_eq!(sum.into_inner(), 800);
}
