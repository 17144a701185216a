//! The executors on which tasks run. Executors are told apart by their threads.

mod support;

use iolite_conformance::{Case, whole};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use iolite_evented::{Evented, Options};
use iolite_io::{Io, Task, task::Placement};

const CASES: &[Case] = whole![
    each_executor_has_a_thread_and_the_first_is_the_callers,
    a_task_runs_on_the_executor_that_it_asks_for,
    what_is_started_here_stays_here_however_idle_the_others_are,
    here_from_outside_is_anywhere,
    an_idle_executor_takes_what_a_busy_one_has_not_started,
    a_busy_executor_keeps_nothing_from_an_idle_one,
    tasks_go_where_the_load_is_least,
    an_endless_chain_here_does_not_keep_others_from_starting,
    what_waits_for_a_busy_executor_at_shutdown_runs_and_is_told,
    a_computation_delays_no_fiber_while_another_executor_is_idle,
    an_operation_of_a_thread_waits_for_no_computation_while_another_executor_is_idle,
    an_operation_that_nobody_took_is_taken_by_who_becomes_idle,
    an_operation_that_was_taken_by_another_executor_is_canceled_there,
];

fn main() -> ExitCode {
    support::run(&[CASES])
}

fn evented(executors: usize) -> Evented {
    Evented::new(Options { executors, ..Options::default() }).expect("io_uring is here")
}

/// Returns the thread of each executor.
fn threads(io: &dyn Io) -> Vec<ThreadId> {
    (0..io.backend().executors).map(|index| on(io, index, |_| thread::current().id()).join(io)).collect()
}

/// Starts a task on an executor.
fn on<T: Send + 'static>(io: &dyn Io, executor: usize, body: impl FnOnce(&dyn Io) -> T + Send + 'static) -> Task<T> {
    io.task().placement(Placement::Executor(executor)).spawn_concurrent(body).unwrap()
}

/// Lets others run, and then returns the thread that it is on.
fn wander(io: &dyn Io) -> ThreadId {
    for _ in 0..3 {
        io.yield_now();
    }
    thread::current().id()
}

fn each_executor_has_a_thread_and_the_first_is_the_callers() {
    let evented = evented(4);
    let mut threads = threads(evented.io());
    assert_eq!(evented.io().backend().executors, 4);
    threads.sort_by_key(|thread| format!("{thread:?}"));
    threads.dedup();
    assert_eq!(threads.len(), 4);
    let caller = thread::current().id();
    assert!(!threads.contains(&caller));
    let prepared = Evented::prepare(Options { executors: 2, ..Options::default() }).unwrap();
    assert_eq!(prepared.run(|io| on(io, 0, |_| thread::current().id()).join(io)), caller);
}

fn a_task_runs_on_the_executor_that_it_asks_for() {
    let evented = evented(3);
    let io = evented.io();
    let threads = threads(io);
    // From a thread, and from a fiber of each executor.
    let callers = [None, Some(0), Some(1), Some(2)];
    for caller in callers {
        let expected = threads.clone();
        let start_all = move |io: &dyn Io| {
            for (index, thread) in expected.iter().enumerate() {
                let tasks: Vec<_> = (0..50).map(|_| on(io, index, wander)).collect();
                assert!(tasks.into_iter().all(|task| task.join(io) == *thread));
            }
        };
        match caller {
            None => start_all(io),
            Some(caller) => on(io, caller, start_all).join(io),
        }
    }
}

fn what_is_started_here_stays_here_however_idle_the_others_are() {
    let evented = evented(3);
    let io = evented.io();
    for (index, thread) in threads(io).into_iter().enumerate() {
        let task = on(io, index, move |io| {
            io.group(|group| {
                let members: Vec<_> = (0..100)
                    .map(|_| group.task().placement(Placement::Here).spawn_concurrent(wander).unwrap())
                    .collect();
                // The other executors look for work in the meantime.
                let busy: Vec<_> = (0..100).map(|_| group.spawn_concurrent(wander).unwrap()).collect();
                assert!(members.into_iter().all(|member| member.join(io) == thread));
                drop(busy);
                std::io::Result::Ok(())
            })
        });
        task.join(io).unwrap();
    }
}

fn here_from_outside_is_anywhere() {
    let evented = evented(2);
    let io = evented.io();
    let threads = threads(io);
    let task = io.task().placement(Placement::Here).spawn_concurrent(wander).unwrap();
    assert!(threads.contains(&task.join(io)));
}

/// The fiber blocks its thread, which no program should do, so its tasks have to run on the other executor.
fn an_idle_executor_takes_what_a_busy_one_has_not_started() {
    let evented = evented(2);
    let io = evented.io();
    let threads = threads(io);
    for round in 0..200 {
        let count = 1 + round % 70;
        let busy = on(io, round % 2, move |io| {
            let (done, all_done) = mpsc::channel();
            for _ in 0..count {
                let done = done.clone();
                let task = io.spawn_concurrent(move |io| done.send(wander(io)).unwrap());
                task.unwrap().detach();
            }
            drop(done);
            all_done.iter().collect::<Vec<_>>()
        });
        let other = threads[1 - round % 2];
        assert_eq!(busy.join(io), vec![other; count], "round {round}");
    }
}

/// The same for tasks that come from outside.
fn a_busy_executor_keeps_nothing_from_an_idle_one() {
    let evented = evented(2);
    let io = evented.io();
    let threads = threads(io);
    for round in 0..200 {
        let (go, wait) = mpsc::channel();
        let (blocked, is_blocked) = mpsc::channel();
        let busy = on(io, round % 2, move |_| {
            blocked.send(()).unwrap();
            wait.recv().unwrap();
        });
        is_blocked.recv().unwrap();
        let tasks: Vec<_> = (0..1 + round % 70).map(|_| io.spawn_async(wander)).collect();
        let other = threads[1 - round % 2];
        assert!(tasks.into_iter().all(|task| task.join(io) == other), "round {round}");
        go.send(()).unwrap();
        busy.join(io);
    }
}

/// A busy executor steals nothing, and both are busy: every task runs where it was placed.
fn tasks_go_where_the_load_is_least() {
    let evented = evented(2);
    let io = evented.io();
    let threads = threads(io);
    for loaded in [0, 1] {
        let restless = |io: &dyn Io| {
            while io.check_cancel().is_ok() {
                io.yield_now();
            }
        };
        let mut load: Vec<_> = (0..100).map(|_| on(io, loaded, restless)).collect();
        load.push(on(io, 1 - loaded, restless));
        // All of them have begun when these have.
        (0..2).for_each(|index| on(io, index, |_| ()).join(io));
        let start_some = |io: &dyn Io| {
            let tasks: Vec<_> = (0..20).map(|_| io.spawn_concurrent(wander).unwrap()).collect();
            tasks.into_iter().map(|task| task.join(io)).collect::<Vec<_>>()
        };
        let expected = vec![threads[1 - loaded]; 20];
        assert_eq!(start_some(io), expected, "from outside");
        assert_eq!(on(io, loaded, start_some).join(io), expected, "from the loaded one");
        assert_eq!(on(io, 1 - loaded, start_some).join(io), expected, "from the idle one");
        load.into_iter().for_each(|task| task.cancel(io));
    }
}

fn an_endless_chain_here_does_not_keep_others_from_starting() {
    /// Starts its successor before it ends.
    fn link(io: &dyn Io, stop: &'static AtomicBool) {
        if !stop.load(Ordering::Relaxed) {
            io.task().placement(Placement::Here).spawn_concurrent(move |io| link(io, stop)).unwrap().detach();
        }
    }
    static STOP: AtomicBool = AtomicBool::new(false);
    let prepared = Evented::prepare(Options { executors: 1, ..Options::default() }).unwrap();
    prepared.run(|io| {
        link(io, &STOP);
        io.spawn_concurrent(|_| STOP.store(true, Ordering::Relaxed)).unwrap().join(io);
    });
}

fn what_waits_for_a_busy_executor_at_shutdown_runs_and_is_told() {
    let evented = evented(2);
    let io = evented.io();
    let (go, wait) = mpsc::channel();
    let busy = on(io, 1, move |_| wait.recv().unwrap());
    let waiting: Vec<_> = (0..20).map(|_| on(io, 1, |io| io.check_cancel().is_err())).collect();
    let handle = evented.handle();
    let shutdown = thread::spawn(move || evented.shutdown());
    while handle.spawn_concurrent(|_| ()).map(|task| task.join(&*handle)).is_ok() {}
    go.send(()).unwrap();
    busy.join(&*handle);
    assert!(waiting.into_iter().all(|task| task.join(&*handle)), "torn down before they ran");
    shutdown.join().unwrap();
}

/// Waits, without a point at which others could run, until it is told to stop, or until it gives up after a long time.
fn compute_until(told: &AtomicBool) -> bool {
    let began = Instant::now();
    while !told.load(Ordering::Acquire) {
        if began.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::hint::spin_loop();
    }
    true
}

/// The starter parks, and an idle executor computes.
fn a_computation_delays_no_fiber_while_another_executor_is_idle() {
    type Start = fn(&dyn Io, Arc<AtomicBool>) -> Task<bool>;
    let starts: [(&str, Start); 2] = [
        ("spawn_async", |io, told| io.spawn_async(move |_| compute_until(&told))),
        ("spawn_concurrent", |io, told| io.spawn_concurrent(move |_| compute_until(&told)).unwrap()),
    ];
    for round in 0..20 {
        for (name, start) in starts {
            // The runtime is new, and its other executor has had nothing to do.
            let evented = evented(2);
            let io = evented.io();
            let computed = on(io, round % 2, move |io| {
                let told = Arc::new(AtomicBool::new(false));
                let computing = start(io, told.clone());
                io.sleep(Duration::from_millis(1)).unwrap();
                told.store(true, Ordering::Release);
                computing.join(io)
            });
            assert!(computed.join(io), "{name}, round {round}: the sleep ended after the computation");
        }
    }
}

/// This holds whichever executor computes, and whatever the other one did before.
fn an_operation_of_a_thread_waits_for_no_computation_while_another_executor_is_idle() {
    let evented = evented(2);
    let io = evented.io();
    let file = tempfile::tempfile().unwrap();
    let file = iolite_io::fs::File::from(file);
    for round in 0..40 {
        let told = Arc::new(AtomicBool::new(false));
        let theirs = told.clone();
        let (begun, has_begun) = mpsc::channel();
        let computing = on(io, round % 2, move |_| {
            begun.send(()).unwrap();
            compute_until(&theirs)
        });
        has_begun.recv().unwrap();
        for _ in 0..5 {
            file.write_at(io, b"x", 0).unwrap();
        }
        told.store(true, Ordering::Release);
        assert!(computing.join(io), "round {round}: the operation ended after the computation");
    }
}

/// The operation was handed to an executor before that began to compute, while the other one was busy.
fn an_operation_that_nobody_took_is_taken_by_who_becomes_idle() {
    let evented = evented(2);
    let io = evented.io();
    for round in 0..40 {
        let told = Arc::new(AtomicBool::new(false));
        let (begun, both_have_begun) = mpsc::channel();
        // Both compute: one for a long time, the other until the operation was handed over.
        let long = {
            let (told, begun) = (told.clone(), begun.clone());
            on(io, round % 2, move |_| {
                begun.send(()).unwrap();
                compute_until(&told)
            })
        };
        let handed = Arc::new(AtomicBool::new(false));
        let short = {
            let handed = handed.clone();
            on(io, 1 - round % 2, move |_| {
                begun.send(()).unwrap();
                compute_until(&handed)
            })
        };
        (0..2).for_each(|_| both_have_begun.recv().unwrap());
        thread::scope(|scope| {
            let operations: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| iolite_io::net::TcpListener::bind(io, "127.0.0.1:0").map(drop)))
                .collect();
            let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| ready(io))).collect();
            handed.store(true, Ordering::Release);
            operations.into_iter().for_each(|operation| operation.join().unwrap().unwrap());
            waiting.into_iter().for_each(|operation| operation.join().unwrap());
        });
        told.store(true, Ordering::Release);
        assert!(short.join(io) && long.join(io), "round {round}: the operations ended after the computation");
    }
}

/// Performs an operation that uses the ring and ends by itself.
fn ready(io: &dyn Io) {
    let (near, _far) = iolite_io::net::UnixStream::pair(io).unwrap();
    near.writable(io).unwrap();
}

/// The cancellation finds the operation on any executor.
fn an_operation_that_was_taken_by_another_executor_is_canceled_there() {
    let evented = evented(2);
    let io = evented.io();
    for round in 0..40 {
        let told = Arc::new(AtomicBool::new(false));
        let (begun, has_begun) = mpsc::channel();
        let computing: Vec<_> = (0..2)
            .map(|executor| {
                let (told, begun) = (told.clone(), begun.clone());
                on(io, executor, move |_| {
                    begun.send(()).unwrap();
                    // One of them ends early, and takes the operation that was handed to the other.
                    if executor == round % 2 { compute_until(&told) } else { true }
                })
            })
            .collect();
        (0..2).for_each(|_| has_begun.recv().unwrap());
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let (near, _far) = iolite_io::net::UnixStream::pair(io).unwrap();
                        let read = io.timeout(Duration::from_millis(2), |io| near.read(io, &mut [0]));
                        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
                    })
                })
                .collect();
            waiting.into_iter().for_each(|operation| operation.join().unwrap());
        });
        told.store(true, Ordering::Release);
        assert!(computing.into_iter().all(|task| task.join(io)), "round {round}: canceled after the computation");
    }
}
