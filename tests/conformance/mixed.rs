//! Two runtimes at once, and plain threads between them: what one holds, another waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite::Io;
use iolite::net::{TcpListener, TcpStream};
use iolite::sync::{Event, Mutex, Semaphore, channel};
use rstest::rstest;

use crate::support::{ExpectCanceled, On, Watchdog, concurrently, evented, rounds, scope, tcp_pair, threaded};

/// Runs the case with two runtimes.
fn both(one: On, other: On, case: impl FnOnce(&dyn Io, &dyn Io)) {
    let _watchdog = Watchdog::start();
    let (one, other) = (one.start(), other.start());
    case(one.io(), other.io());
    one.shutdown();
    other.shutdown();
}

#[rstest]
fn one_mutex_for_tasks_of_both_and_plain_threads(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
) {
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

#[rstest]
fn one_channel_between_both(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
    #[values(0, 2)] capacity: usize,
) {
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

#[rstest]
fn events_and_permits_between_both(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
) {
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
                        permits.release();
                        permits.release();
                    }));
                });
            });
            assert_eq!((done.into_inner(), permits.available()), (2, 0));
        }
    });
}

#[rstest]
fn a_task_of_one_joins_and_cancels_tasks_of_the_other(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
) {
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

#[rstest]
fn a_request_is_copied_from_a_task_of_one_to_a_task_of_the_other(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
) {
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
#[rstest]
fn a_task_of_one_does_io_through_the_other(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
) {
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
                // Where it cannot be, it is an error that carries both names.
                assert!(text.contains("threaded") && text.contains("evented"), "{text}");
            }
        });
    });
}

/// The same stream, by turns through both.
#[rstest]
fn a_stream_may_be_used_through_either(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
) {
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

#[rstest]
fn two_runtimes_end_in_any_order(
    #[values(threaded(), evented())] one: On,
    #[values(threaded(), evented())] other: On,
    #[values(false, true)] first_made_first: bool,
) {
    let _watchdog = Watchdog::start();
    for _ in 0..20 {
        let (one, other) = (one.start(), other.start());
        let _task = one.io().spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).expect("concurrent");
        let (first, last) = if first_made_first { (one, other) } else { (other, one) };
        first.shutdown();
        let io = last.io();
        let (client, server) = tcp_pair(io);
        let reader = io.spawn_concurrent(move |io| client.read(io, &mut [0; 8]).map(drop)).expect("concurrent");
        // Cancellation still works: handlers are the process's, not the runtime's.
        assert!(iolite::Canceled::is_in(&reader.cancel(io).expect_err("canceled")));
        drop(server);
        last.shutdown();
    }
}
