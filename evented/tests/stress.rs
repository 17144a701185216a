//! Many of everything at once: runtimes, operations, timeouts, cancellations, foreign callers.
//!
//! `IOLITE_TEST_ROUNDS` is the number of rounds. `IOLITE_TEST_SEED` repeats a run; a failure prints its seed.

mod support;

use iolite_conformance::{Case, whole};
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use iolite_conformance::tools::{Random, rounds};
use iolite_evented::{Evented, Options};
use iolite_io::net::{TcpListener, TcpStream};
use iolite_io::sync::{Event, Semaphore};
use iolite_io::{Canceled, Io, Task, task::Placement};

const CASES: &[Case] = whole![
    runtimes_come_and_go_on_several_threads_at_once,
    threads_that_block_in_operations_are_let_go_at_the_shutdown,
    as_many_operations_as_overflow_both_queues_are_canceled_at_once,
    as_many_timeouts_end_operations_at_the_same_instant,
    a_flood_of_foreign_operations_loses_no_byte,
    cancellations_from_other_threads_are_delivered_once_and_lose_no_permit,
    two_runtimes_are_dropped_in_any_order_with_tasks_across,
    every_task_runs_once_and_in_its_place,
];

fn main() -> ExitCode {
    support::run(&[CASES])
}

fn executors(executors: usize) -> Options {
    Options { executors, ..Options::default() }
}

fn run<T>(options: Options, main: impl FnOnce(&dyn Io) -> T) -> T {
    Evented::prepare(options).expect("io_uring is here").run(main)
}

fn pair(io: &dyn Io) -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(io, "127.0.0.1:0")?;
    let near = TcpStream::connect(io, listener.local_addr(io)?)?;
    Ok((near, listener.accept(io)?.0))
}

fn runtimes_come_and_go_on_several_threads_at_once() {
    let mut random = Random::new("runtimes_come_and_go_on_several_threads_at_once");
    thread::scope(|scope| {
        for _ in 0..3 {
            let mut random = random.fork();
            scope.spawn(move || {
                for _ in 0..rounds(150) {
                    let evented = Evented::new(executors(1 + random.below(4) as usize)).unwrap();
                    let handle = evented.handle();
                    for _ in 0..random.below(6) {
                        match random.below(5) {
                            0 => handle.spawn_concurrent(|io| io.sleep(Duration::MAX)).unwrap().detach(),
                            1 => drop(handle.spawn_concurrent(|io| pair(io)).unwrap()),
                            2 => handle.spawn_thread("task", |io| io.sleep(Duration::MAX)).unwrap().detach(),
                            3 => handle.spawn_async(|io| io.yield_now()).join(&*handle),
                            // The shutdown ends the calls that block here.
                            _ => {
                                let (near, far) = pair(&*handle).unwrap();
                                let handle = handle.clone();
                                thread::spawn(move || {
                                    near.read(&*handle, &mut [0]).unwrap_err();
                                    drop(far);
                                });
                            }
                        }
                    }
                    evented.shutdown();
                    assert!(handle.spawn_concurrent(|_| ()).is_err());
                }
            });
        }
    });
}

fn threads_that_block_in_operations_are_let_go_at_the_shutdown() {
    for round in 0..rounds(20) {
        let evented = Evented::new(executors(1 + round % 3)).unwrap();
        let io = evented.handle();
        let begun = Arc::new(AtomicUsize::new(0));
        let streams = Arc::new(pair(&*io).unwrap());
        let callers: Vec<_> = (0..32)
            .map(|_| {
                let (io, begun, streams) = (io.clone(), begun.clone(), streams.clone());
                thread::spawn(move || {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let error = streams.0.read(&*io, &mut [0; 8]).unwrap_err();
                    assert!(error.to_string().contains("shut down"), "{error}");
                })
            })
            .collect();
        while begun.load(Ordering::SeqCst) < callers.len() {
            thread::yield_now();
        }
        evented.shutdown();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    }
}

/// Starts receives that never complete by themselves, many of them on one descriptor.
fn blocked_receives(io: &dyn Io, count: usize, body: impl FnOnce(&dyn Io, &[Arc<AtomicU64>; 2])) {
    let (near, _far) = pair(io).unwrap();
    let near = Arc::new(near);
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let tasks: Vec<Task<()>> = (0..count)
        .map(|_| {
            let (near, [begun, canceled]) = (near.clone(), counts.clone());
            let task = io.spawn_concurrent(move |io| {
                begun.fetch_add(1, Ordering::Relaxed);
                assert!(Canceled::is_in(&near.read(io, &mut [0; 8]).unwrap_err()));
                canceled.fetch_add(1, Ordering::Relaxed);
            });
            task.unwrap()
        })
        .collect();
    while counts[0].load(Ordering::Relaxed) < count as u64 {
        io.yield_now();
    }
    body(io, &counts);
    tasks.iter().for_each(Task::request_cancel);
    tasks.into_iter().for_each(|task| task.join(io));
    assert_eq!(counts[1].load(Ordering::Relaxed), count as u64);
}

fn as_many_operations_as_overflow_both_queues_are_canceled_at_once() {
    run(executors(1), |io| blocked_receives(io, rounds(5_000), |_, _| {}));
}

fn as_many_timeouts_end_operations_at_the_same_instant() {
    let count = rounds(5_000);
    run(executors(1), |io| {
        let (near, _far) = pair(io).unwrap();
        let deadline = io.now() + Duration::from_millis(500);
        let passed = AtomicUsize::new(0);
        io.group(|group| {
            for _ in 0..count {
                let (near, passed) = (&near, &passed);
                group.spawn_concurrent(move |io| {
                    let error = io.timeout_at(deadline, |io| near.read(io, &mut [0; 8])).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    io.check_cancel().unwrap();
                    passed.fetch_add(1, Ordering::Relaxed);
                })?;
            }
            io::Result::Ok(())
        })
        .unwrap();
        assert_eq!(passed.load(Ordering::Relaxed), count);
    });
}

fn a_flood_of_foreign_operations_loses_no_byte() {
    const CALLERS: usize = 32;
    let mut random = Random::new("a_flood_of_foreign_operations_loses_no_byte");
    let evented = Evented::new(executors(2)).unwrap();
    // A fiber that is always ready runs beside them.
    let stop = Arc::new(Event::new());
    let theirs = stop.clone();
    let yielder = evented.io().spawn_concurrent(move |io| {
        while !theirs.is_set() {
            io.yield_now();
        }
    });
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..CALLERS / 2 {
            let (near, far) = pair(evented.io()).unwrap();
            let (mut writes, mut reads) = (random.fork(), random.fork());
            let (io, sent, received) = (evented.io(), &sent, &received);
            let writer = move |near: &TcpStream| {
                for _ in 0..rounds(150) {
                    let bytes = vec![7; 1 + writes.below(2000) as usize];
                    let limit = Duration::from_micros(writes.below(300));
                    let result = io.timeout(limit, |io| near.write(io, &bytes));
                    match result {
                        Ok(count) => drop(sent.fetch_add(count as u64, Ordering::Relaxed)),
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
                    }
                }
                near.shutdown(io, std::net::Shutdown::Write).unwrap();
            };
            scope.spawn(move || {
                let mut writer = writer;
                writer(&near);
                // The connection is kept until the other side has read everything.
                let _ = near.read(io, &mut [0]);
            });
            scope.spawn(move || {
                loop {
                    let mut buffer = [0; 700];
                    let limit = Duration::from_micros(reads.below(300));
                    match io.timeout(limit, |io| far.read(io, &mut buffer)) {
                        Ok(0) => break,
                        Ok(count) => drop(received.fetch_add(count as u64, Ordering::Relaxed)),
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
                    }
                }
            });
        }
    });
    stop.set();
    yielder.unwrap().join(evented.io());
    assert_eq!(sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed));
    assert!(sent.load(Ordering::Relaxed) > 0);
}

fn cancellations_from_other_threads_are_delivered_once_and_lose_no_permit() {
    let mut random = Random::new("cancellations_from_other_threads_are_delivered_once_and_lose_no_permit");
    run(executors(2), |io| {
        let permits = Semaphore::new(3);
        let delivered = AtomicUsize::new(0);
        for _ in 0..rounds(300) {
            let spins = random.below(2000);
            let seen = io.group(|group| {
                let waiters: Vec<_> = (0..6)
                    .map(|_| {
                        group.spawn_concurrent(|io| {
                            let first = permits.acquire(io).map(|permit| io.yield_now_with(permit));
                            // A request is delivered once, in one of the two places.
                            let second = io.check_cancel();
                            usize::from(first.is_err()) + usize::from(second.is_err())
                        })
                    })
                    .collect::<Result<_, _>>()?;
                for waiter in &waiters {
                    (0..spins).for_each(|_| std::hint::spin_loop());
                    waiter.request_cancel();
                }
                io::Result::Ok(waiters.into_iter().map(|waiter| waiter.join(io)).collect::<Vec<_>>())
            });
            for count in seen.unwrap() {
                assert!(count <= 1, "a request was delivered twice");
                delivered.fetch_add(count, Ordering::Relaxed);
            }
            assert_eq!(permits.available(), 3);
        }
        assert!(delivered.load(Ordering::Relaxed) > 0);
    });
}

/// Keeps a value alive while it yields.
trait YieldWith {
    fn yield_now_with<T>(&self, value: T);
}

impl YieldWith for dyn Io + '_ {
    fn yield_now_with<T>(&self, value: T) {
        self.yield_now();
        drop(value);
    }
}

fn two_runtimes_are_dropped_in_any_order_with_tasks_across() {
    for round in 0..rounds(100) {
        let (first, second) = (Evented::new(executors(1)).unwrap(), Evented::new(executors(2)).unwrap());
        let across = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..4 {
            let (handle, kept) = (second.handle(), across.clone());
            let task = first.io().spawn_concurrent(move |io| {
                // A task of the other runtime, and an operation of it, while either may end.
                if let Ok(task) = handle.spawn_concurrent(|io| io.sleep(Duration::MAX)) {
                    kept.lock().unwrap().push(task);
                }
                let _ = pair(&*handle).map(|(near, _far)| near.read(&*handle, &mut [0]));
                let _ = io.sleep(Duration::MAX);
            });
            task.unwrap().detach();
        }
        if round % 2 == 0 {
            drop(first);
            drop(second);
        } else {
            drop(second);
            drop(first);
        }
        let kept: Vec<Task<_>> = across.lock().unwrap().drain(..).collect();
        drop(kept);
    }
}

/// Tasks with random placements, started from threads and from fibers, start other tasks: each runs once, in its place.
fn every_task_runs_once_and_in_its_place() {
    const EXECUTORS: usize = 3;
    /// Starts a tree of tasks and counts those that ran.
    fn tree(
        io: &dyn Io,
        depth: usize,
        random: &mut Random,
        threads: &Arc<Vec<thread::ThreadId>>,
        ran: &Arc<AtomicUsize>,
    ) {
        let here = thread::current().id();
        let on_executor = threads.contains(&here);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (placement, thread) = match random.below(4) {
                    0 => (Placement::Anywhere, None),
                    1 => (Placement::Here, on_executor.then_some(here)),
                    _ => {
                        let index = random.below(EXECUTORS as u64) as usize;
                        (Placement::Executor(index), Some(threads[index]))
                    }
                };
                let stack_bytes = (32 << 10) << random.below(4);
                let (mut random, threads, ran) = (random.fork(), threads.clone(), ran.clone());
                let body = move |io: &dyn Io| {
                    let id = thread::current().id();
                    assert!(threads.contains(&id) && thread.is_none_or(|thread| thread == id), "out of place");
                    ran.fetch_add(1, Ordering::Relaxed);
                    if random.below(2) == 0 {
                        io.yield_now();
                    }
                    if depth > 0 {
                        tree(io, depth - 1, &mut random, &threads, &ran);
                    }
                    assert_eq!(thread::current().id(), id, "a fiber has migrated");
                };
                io.task().placement(placement).stack_size(stack_bytes).spawn_waiting(body).unwrap()
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join(io));
    }
    let mut random = Random::new("every_task_runs_once_and_in_its_place");
    let evented = Evented::new(executors(EXECUTORS)).unwrap();
    let io = evented.io();
    let thread_of = |index| io.task().placement(Placement::Executor(index)).spawn_async(|_| thread::current().id());
    let threads: Arc<Vec<_>> = Arc::new((0..EXECUTORS).map(|index| thread_of(index).unwrap().join(io)).collect());
    let ran = Arc::new(AtomicUsize::new(0));
    let rounds = rounds(20);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut random = random.fork();
            let (threads, ran) = (&threads, &ran);
            scope.spawn(move || (0..rounds).for_each(|_| tree(io, 4, &mut random, threads, ran)));
        }
    });
    // Each tree has 3 + 9 + 27 + 81 + 243 tasks.
    assert_eq!(ran.load(Ordering::Relaxed), 2 * rounds * 363);
}
