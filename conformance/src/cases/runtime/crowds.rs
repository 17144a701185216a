//! Many at once: nobody starves, and full queues lose nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{Canceled, Io};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    tasks_that_yield_starve_nobody,
    tasks_that_yield_starve_no_timer_and_no_socket,
    a_burst_of_completions_loses_none,
    a_crowd_is_canceled_at_once,
    a_crowd_is_timed_out_at_once,
    a_tree_of_tasks_needs_no_unit_for_each(0),
    a_tree_of_tasks_needs_no_unit_for_each(1),
    a_tree_of_tasks_needs_no_unit_for_each(5),
];

/// Each task yields until all have made progress. If the last task to come were the first to run, that would never
/// happen.
fn tasks_that_yield_starve_nobody(on: &On) {
    on.executors(1).run(|io| {
        let arrived = AtomicUsize::new(0);
        scope(io, |group| {
            for _ in 0..8 {
                drop(concurrently(group, |io| {
                    (0..200).for_each(|_| io.yield_now());
                    arrived.fetch_add(1, Ordering::Relaxed);
                    while arrived.load(Ordering::Relaxed) < 8 {
                        io.yield_now();
                    }
                }));
            }
        });
    });
}

/// An executor that always has something to run still serves timers and completions.
fn tasks_that_yield_starve_no_timer_and_no_socket(on: &On) {
    on.executors(1).run(|io| {
        let (client, server) = tcp_pair(io);
        let done = AtomicBool::new(false);
        scope(io, |group| {
            for _ in 0..3 {
                drop(concurrently(group, |io| {
                    while !done.load(Ordering::Relaxed) {
                        io.yield_now();
                    }
                }));
            }
            let timer = concurrently(group, |io| (0..5).try_for_each(|_| io.sleep(Duration::from_millis(5))));
            let echo = concurrently(group, |io| {
                let mut buffer = [0; 4];
                (0..50).try_for_each(|_| {
                    server.read_exact(io, &mut buffer)?;
                    server.write_all(io, &buffer)
                })
            });
            for _ in 0..50 {
                client.write_all(io, b"ping").expect("sent");
                client.read_exact(io, &mut [0; 4]).expect("echoed");
            }
            timer.join(io).expect("not canceled");
            echo.join(io).expect("echoed");
            done.store(true, Ordering::Relaxed);
        });
    });
}

/// All of them complete in one burst.
fn a_burst_of_completions_loses_none(on: &On) {
    on.executors(1).run(|io| {
        let (client, server) = tcp_pair(io);
        let (waiting, received) = (AtomicUsize::new(0), AtomicUsize::new(0));
        scope(io, |group| {
            for _ in 0..on.crowd() {
                drop(concurrently(group, |io| {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    received.fetch_add(client.read(io, &mut [0]).expect("a byte for each"), Ordering::Relaxed);
                }));
            }
            while waiting.load(Ordering::Relaxed) < on.crowd() {
                io.yield_now();
            }
            server.write_all(io, &vec![1; on.crowd()]).expect("sent");
        });
        assert_eq!(received.into_inner(), on.crowd());
    });
}

/// No cancellation is dropped because a queue is full.
fn a_crowd_is_canceled_at_once(on: &On) {
    on.executors(1).run(|io| {
        let (client, _server) = tcp_pair(io);
        let (event, canceled) = (Event::new(), AtomicUsize::new(0));
        scope(io, |group| {
            for number in 0..on.crowd() {
                let (client, event, canceled) = (&client, &event, &canceled);
                drop(concurrently(group, move |io| {
                    let ended = match number % 3 {
                        0 => client.read(io, &mut [0]).is_err_and(|error| Canceled::is_in(&error)),
                        1 => event.wait(io).is_err(),
                        _ => io.sleep(Duration::from_secs(3600)).is_err(),
                    };
                    canceled.fetch_add(usize::from(ended && io.check_cancel().is_ok()), Ordering::Relaxed);
                }));
            }
            group.cancel(io);
        });
        assert_eq!(canceled.into_inner(), on.crowd());
    });
}

/// Many timeouts at the same time, each with an operation of its own.
fn a_crowd_is_timed_out_at_once(on: &On) {
    on.executors(1).run(|io| {
        let (client, _server) = tcp_pair(io);
        let (deadline, timed_out) = (io.now() + Duration::from_millis(30), AtomicUsize::new(0));
        scope(io, |group| {
            for _ in 0..on.crowd() {
                drop(concurrently(group, |io| {
                    let error = io.timeout_at(deadline, |io| client.read(io, &mut [0])).expect_err("nobody sends");
                    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
                    timed_out.fetch_add(1, Ordering::Relaxed);
                }));
            }
        });
        assert_eq!(timed_out.into_inner(), on.crowd());
    });
}

fn tree(io: &dyn Io, depth: u32) -> usize {
    if depth == 0 {
        return 1;
    }
    scope(io, |group| {
        let children: Vec<_> = (0..3).map(|_| group.spawn_async(|io| tree(io, depth - 1))).collect();
        children.into_iter().map(|child| child.join(io)).sum()
    })
}

/// Tasks start tasks and wait for them, more than there are units: this ends, no matter who runs which task.
fn a_tree_of_tasks_needs_no_unit_for_each(on: &On, async_limit: usize) {
    on.async_limit(async_limit).run(|io| assert_eq!(tree(io, 6), 729));
}
