//! Two runtimes at once, and plain threads between them: one holds what another waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::Io;
use iolite_io::net::{TcpListener, TcpStream};
use iolite_io::sync::{
    Barrier, Condvar, Event, Mutex, Notify, Queue, RwLock, Semaphore, broadcast, mpmc::channel, watch,
};

use crate::On;
use crate::case::{Case, pairs};
use crate::tools::{ExpectCanceled, Watchdog, concurrently, rounds, scope, started, tcp_pair};

pub(crate) const PAIRS: &[Case] = pairs![
    one_mutex_for_tasks_of_both_and_plain_threads,
    one_channel_between_both(0),
    one_channel_between_both(2),
    locks_and_a_barrier_for_both,
    what_is_handed_over_between_both,
    events_and_permits_between_both,
    a_task_of_one_joins_and_cancels_tasks_of_the_other,
    a_request_is_copied_from_a_task_of_one_to_a_task_of_the_other,
    a_task_of_one_does_io_through_the_other,
    a_stream_may_be_used_through_either,
    two_runtimes_end_in_any_order(false),
    two_runtimes_end_in_any_order(true),
    a_task_of_one_may_make_and_end_the_other,
];

/// Runs the case with two runtimes.
fn both(one: &On, other: &On, case: impl FnOnce(&dyn Io, &dyn Io)) {
    let _watchdog = Watchdog::start();
    let (one, other) = (one.start(), other.start());
    case(one.io(), other.io());
    one.shutdown();
    other.shutdown();
}

/// The task waits for the end of the other runtime, and the other tasks of its executor run in the meantime.
fn a_task_of_one_may_make_and_end_the_other(one: &On, other: &On) {
    let _watchdog = Watchdog::start();
    let one = one.executors(1).start();
    let io = one.io();
    let go_on = Arc::new(Event::new());
    scope(io, |group| {
        let theirs = go_on.clone();
        let ends = started(group, io, move |_| {
            let other = other.start();
            let task = other.io().spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("a unit is free");
            task.detach();
            other.shutdown();
        });
        concurrently(group, |_| go_on.set()).join(io);
        ends.join(io);
    });
    one.shutdown();
}

fn one_mutex_for_tasks_of_both_and_plain_threads(one: &On, other: &On) {
    both(one, other, |one, other| {
        let counter = Mutex::new(0_usize);
        let count = rounds(300);
        let work = |io: &dyn Io| {
            for _ in 0..count {
                let mut counter = counter.lock(io).expect("not canceled");
                let before = *counter;
                io.yield_now();
                *counter = before + 1;
            }
        };
        let work = &work;
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(move || work(one));
                threads.spawn(move || work(other));
            }
            scope(one, |ones| {
                scope(other, |others| {
                    for _ in 0..3 {
                        drop(concurrently(ones, work));
                        drop(concurrently(others, work));
                    }
                });
            });
        });
        assert_eq!(counter.into_inner(), 10 * count);
    });
}

fn one_channel_between_both(one: &On, other: &On, capacity: usize) {
    both(one, other, |one, other| {
        let count = rounds(500);
        let ((there, arrives), (back, returns)) = (channel(capacity), channel(capacity));
        scope(one, |ones| {
            let echo = other.spawn_concurrent(move |io| {
                while let Ok(item) = arrives.recv(io) {
                    back.send(io, item + 1_usize).expect("somebody receives");
                }
            });
            let pings = concurrently(ones, move |io| {
                for item in 0..count {
                    there.send(io, item).expect("somebody receives");
                    assert_eq!(returns.recv(io).expect("echoed"), item + 1);
                }
            });
            pings.join(one);
            echo.expect("concurrent").join(one);
        });
    });
}

/// Tasks of both runtimes and plain threads use both: one read-write lock, one condition variable, one barrier.
fn locks_and_a_barrier_for_both(one: &On, other: &On) {
    both(one, other, |one, other| {
        let (numbers, turn, changed, barrier) = (RwLock::new([0; 2]), Mutex::new(0), Condvar::new(), Barrier::new(6));
        let work = |io: &dyn Io, me: usize| {
            for round in 0..20 {
                let mut turn = turn.lock(io).expect("not canceled");
                while *turn != round * 6 + me {
                    changed.wait(io, &mut turn).expect("not canceled");
                }
                *turn += 1;
                changed.notify_all();
                drop(turn);
                let mut writing = numbers.write(io).expect("not canceled");
                writing[0] += 1;
                io.yield_now();
                writing[1] += 1;
                let reading = writing.downgrade();
                assert_eq!(reading[0], reading[1]);
                drop(reading);
                barrier.wait(io).expect("not canceled");
                assert_eq!(*numbers.read(io).expect("not canceled"), [6 * (round + 1); 2]);
                barrier.wait(io).expect("not canceled");
            }
        };
        let work = &work;
        thread::scope(|threads| {
            threads.spawn(move || work(one, 0));
            threads.spawn(move || work(other, 1));
            scope(one, |ones| {
                scope(other, |others| {
                    (2..4).for_each(|me| drop(concurrently(ones, move |io| work(io, me))));
                    (4..6).for_each(|me| drop(concurrently(others, move |io| work(io, me))));
                });
            });
        });
    });
}

fn what_is_handed_over_between_both(one: &On, other: &On) {
    both(one, other, |one, other| {
        let count = rounds(300);
        let all_received = |io: &dyn Io, mut receiver: broadcast::Receiver<usize>| {
            assert!(std::iter::from_fn(|| receiver.recv(io).ok()).eq(0..count));
        };
        let (queue, done) = (Queue::new(3), Notify::new());
        let ((progress, mut watched), (sender, receiver)) = (watch::channel(0), broadcast::channel(count));
        scope(one, |ones| {
            scope(other, |others| {
                drop(concurrently(ones, |io| {
                    let mut items: VecDeque<_> = (0..count).collect();
                    assert_eq!(queue.put(io, &mut items, count).expect("open"), count);
                    queue.close();
                }));
                drop(concurrently(others, |io| {
                    let (mut items, sender) = (Vec::new(), sender);
                    while queue.get(io, &mut items, 2, 7).is_ok() {
                        progress.send(items.len());
                    }
                    items.into_iter().for_each(|item| sender.send(item).expect("somebody receives"));
                    done.notify_one();
                }));
                let (here, there) = (receiver.clone(), receiver);
                drop(concurrently(ones, |io| all_received(io, here)));
                drop(concurrently(others, |io| all_received(io, there)));
                while *watched.changed(one).expect("it comes to all of them") < count {}
                done.wait(one).expect("not canceled");
            });
        });
    });
}

fn events_and_permits_between_both(one: &On, other: &On) {
    both(one, other, |one, other| {
        for _ in 0..rounds(200) {
            let (go, permits, done) = (Event::new(), Semaphore::new(0), AtomicUsize::new(0));
            scope(one, |ones| {
                scope(other, |others| {
                    let waits = |io: &dyn Io| {
                        go.wait(io).expect("not canceled");
                        permits.acquire(io).expect("not canceled").forget();
                        done.fetch_add(1, Ordering::Relaxed);
                    };
                    drop(concurrently(ones, waits));
                    drop(concurrently(others, waits));
                    drop(concurrently(others, |_| go.set()));
                    drop(concurrently(ones, |_| {
                        permits.add_permits(1);
                        permits.add_permits(1);
                    }));
                });
            });
            assert_eq!((done.into_inner(), permits.available()), (2, 0));
        }
    });
}

fn a_task_of_one_joins_and_cancels_tasks_of_the_other(one: &On, other: &On) {
    both(one, other, |one, other| {
        for round in 0..rounds(200) {
            let task = other.spawn_concurrent(move |_| round).expect("concurrent");
            let sleeper = other.spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).expect("concurrent");
            let joiner = one.spawn_concurrent(move |io| {
                sleeper.cancel(io).expect_canceled("canceled");
                task.join(io)
            });
            assert_eq!(joiner.expect("concurrent").join(one), round);
        }
    });
}

fn a_request_is_copied_from_a_task_of_one_to_a_task_of_the_other(one: &On, other: &On) {
    both(one, other, |one, other| {
        for _ in 0..rounds(100) {
            let started = Arc::new(Event::new());
            let theirs = started.clone();
            let child = other.spawn_concurrent(move |io| {
                theirs.set();
                io.sleep(Duration::from_secs(3600))
            });
            let child = child.expect("concurrent");
            let parent = one.spawn_concurrent(move |io| (child.join(io), io.check_cancel())).expect("concurrent");
            started.wait_uncancelable(one);
            let (child, parent) = parent.cancel(one);
            child.expect_canceled("a copy");
            parent.expect_canceled("still pending");
        }
    });
}

/// The explicit `io` performs; the calling context only parks.
fn a_task_of_one_does_io_through_the_other(one: &On, other: &On) {
    both(one, other, |one, other| {
        let (client, server) = tcp_pair(other);
        scope(one, |ones| {
            let echo = concurrently(ones, |_| {
                let mut buffer = [0; 16];
                loop {
                    match server.read(other, &mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(count) => server.write_all(other, &buffer[..count])?,
                        Err(error) => return Err(error),
                    }
                }
            });
            let ticks = concurrently(ones, |io| (0..20).filter(|_| io.sleep(Duration::from_millis(1)).is_ok()).count());
            let client = client;
            let mut buffer = [0; 5];
            for _ in 0..rounds(100) {
                client.write_all(one, b"hello").expect("sent");
                client.read_exact(one, &mut buffer).expect("echoed");
                assert_eq!(&buffer, b"hello");
            }
            assert_eq!(ticks.join(one), 20);
            drop(client);
            let echoed = echo.join(one);
            if let Err(error) = echoed {
                let text = error.to_string();
                // If it is impossible, the error names both backends.
                assert!(text.contains("threaded") && text.contains("evented"), "{text}");
            }
        });
    });
}

/// The same stream is used through both, in turn.
fn a_stream_may_be_used_through_either(one: &On, other: &On) {
    both(one, other, |one, other| {
        let listener = TcpListener::bind(one, "127.0.0.1:0").expect("bind");
        let client = TcpStream::connect(other, listener.local_addr(other).expect("address")).expect("connect");
        let (server, _) = listener.accept(other).expect("accept");
        let mut buffer = [0; 2];
        for (from, to) in [(one, other), (other, one), (one, one), (other, other)] {
            client.write_all(from, b"ab").expect("sent");
            server.read_exact(to, &mut buffer).expect("received");
            assert_eq!(&buffer, b"ab");
        }
    });
}

fn two_runtimes_end_in_any_order(one: &On, other: &On, first_made_first: bool) {
    let _watchdog = Watchdog::start();
    for _ in 0..20 {
        let (one, other) = (one.start(), other.start());
        let _task = one.io().spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).expect("concurrent");
        let (first, last) = if first_made_first { (one, other) } else { (other, one) };
        first.shutdown();
        let io = last.io();
        let (client, server) = tcp_pair(io);
        let reader = io.spawn_concurrent(move |io| client.read(io, &mut [0; 8]).map(drop)).expect("concurrent");
        // Cancellation still works: handlers belong to the process, not to the runtime.
        assert!(iolite_io::Canceled::is_in(&reader.cancel(io).expect_err("canceled")));
        drop(server);
        last.shutdown();
    }
}
