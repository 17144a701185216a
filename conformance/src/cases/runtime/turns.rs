//! Tasks that share a thread take turns, even if none has to wait, and even if a call takes long.
//!
//! The cases count turns and calls, never time: the number of calls that a task makes between two turns of another one.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::backend::monotonic_now;
use iolite_io::net::{Message, OutgoingMessage, TcpStream, UdpSocket};
use iolite_io::sync::{Event, Mutex, Queue, RwLock, Semaphore, broadcast, futex, mpmc::channel, watch};
use iolite_io::time::Clock;
use iolite_io::{Canceled, Instant, Interval, Io, JoinSet, time::MissedTicks};

use crate::On;
use crate::case::{Case, cases};
use crate::cases::cancellation::points::{POINTS, Ready};
use crate::tools::{concurrently, scope, tcp_pair, until};

pub(crate) const CASES: &[Case] = cases![
    a_sleep_that_has_passed_is_a_turn,
    calls_that_need_not_wait_let_others_run,
    tasks_that_run_inline_let_others_run,
    each_call_that_is_refused_lets_others_run,
    a_task_that_computes_between_its_turns_delays_timers_by_one,
    a_task_that_computes_between_its_turns_delays_completions_by_one,
    a_task_that_computes_between_its_turns_delays_wakes_by_one,
    a_task_that_computes_between_its_calls_delays_timers_by_one,
];

/// The number of turns that the neighbour of a busy task takes.
const TURNS: u32 = 50;

/// The maximum number of calls that a task makes in one turn without having to wait. (Our own number, which may become
/// smaller.)
const CALLS_PER_TURN: u32 = 128;

/// Checks that `busy` asks at most `calls_max` times whether to continue, for each turn of a neighbour on the same
/// executor, until the neighbour has had its turns.
fn takes_turns(
    on: &On,
    io: &dyn Io,
    name: &str,
    calls_max: u32,
    busy: impl FnOnce(&dyn Io, &mut dyn FnMut() -> bool) + Send,
) {
    let (began, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let calls = scope(io, |group| {
        let busy = concurrently(group, |io| {
            until(io, || began.load(Ordering::Acquire));
            let mut calls = 0;
            busy(io, &mut || {
                calls += 1;
                !done.load(Ordering::Acquire)
            });
            calls
        });
        let neighbour = concurrently(group, |io| {
            began.store(true, Ordering::Release);
            (0..TURNS).for_each(|_| io.yield_now());
            done.store(true, Ordering::Release);
        });
        neighbour.join(io);
        busy.join(io)
    });
    // Threads get their turns from the kernel.
    assert!(
        on.tasks_are_threads() || calls <= (TURNS + 2) * calls_max,
        "{name}: {calls} calls in {TURNS} turns of the neighbour"
    );
}

/// Checks the same for a task that makes one call after another.
fn calls_take_turns(on: &On, io: &dyn Io, name: &str, calls_max: u32, mut call: impl FnMut(&dyn Io) + Send) {
    takes_turns(on, io, name, calls_max, |io, goes_on| {
        while goes_on() {
            call(io);
        }
    });
}

fn a_sleep_that_has_passed_is_a_turn(on: &On) {
    on.executors(1).run(|io| {
        let takes_turns = |name, call: fn(&dyn Io)| calls_take_turns(on, io, name, 1, call);
        takes_turns("sleep zero", |io| io.sleep(Duration::ZERO).expect("not canceled"));
        takes_turns("sleep", |io| io.sleep(Duration::from_nanos(1)).expect("not canceled"));
        takes_turns("sleep_until the past", |io| io.sleep_until(Instant::ZERO).expect("not canceled"));
        takes_turns("sleep_until now", |io| io.sleep_until(io.now()).expect("not canceled"));
        takes_turns("sleep_until_time", |io| io.sleep_until_time(Clock::Real, Duration::ZERO).expect("not canceled"));
        for missed in [MissedTicks::Burst, MissedTicks::Skip, MissedTicks::Delay] {
            let mut interval = Interval::new(Instant::ZERO, Duration::from_nanos(1)).missed_ticks(missed);
            calls_take_turns(on, io, "an interval slower than its period", 1, |io| {
                interval.tick(io).expect("not canceled");
            });
        }
    });
}

fn calls_that_need_not_wait_let_others_run(on: &On) {
    on.executors(1).run(|io| {
        let takes_turns =
            |name, call: &mut (dyn FnMut(&dyn Io) + Send)| calls_take_turns(on, io, name, CALLS_PER_TURN, call);
        takes_turns("check_cancel", &mut |io| io.check_cancel().expect("not canceled"));
        let (sender, receiver) = channel(1);
        takes_turns("a channel that is never empty", &mut |io| {
            sender.try_send(1).expect("room");
            receiver.recv(io).expect("an item");
        });
        takes_turns("the same, uncancelable", &mut |io| {
            sender.try_send(1).expect("room");
            receiver.recv_uncancelable(io).expect("an item");
        });
        takes_turns("a channel that is never full", &mut |io| {
            sender.send(io, 1).expect("room");
            receiver.try_recv().expect("an item");
        });
        let (mutex, rwlock, semaphore) = (Mutex::new(()), RwLock::new(()), Semaphore::new(1));
        takes_turns("a free mutex", &mut |io| drop(mutex.lock(io).expect("not canceled")));
        takes_turns("a free mutex, uncancelable", &mut |io| drop(mutex.lock_uncancelable(io)));
        takes_turns("a free rwlock", &mut |io| drop(rwlock.read(io).expect("not canceled")));
        takes_turns("a free permit", &mut |io| drop(semaphore.acquire(io).expect("not canceled")));
        let event = Event::new();
        event.set();
        takes_turns("an event that is set", &mut |io| event.wait(io).expect("not canceled"));
        takes_turns("what is there, of many", &mut |io| {
            io.select((event.on_wait(), receiver.on_recv())).map(drop).expect("not canceled");
        });
        takes_turns("a time that is there, of many", &mut |io| {
            io.select((Instant::ZERO, receiver.on_recv())).map(drop).expect("not canceled");
        });
        let (_sender, empty) = channel::<u32>(1);
        takes_turns("a timeout that has passed", &mut |io| {
            io.timeout_at(io.now(), |io| empty.recv(io)).map(drop).expect_err("nothing was sent");
        });
        let word = AtomicU32::new(1);
        takes_turns("a word that has changed", &mut |io| futex::wait(io, &word, 0).expect("not canceled"));
        let queue = Queue::new(1);
        takes_turns("a queue", &mut |io| {
            queue.put(io, &mut [1].into(), 1).expect("room");
            queue.get(io, &mut Vec::new(), 1, 1).expect("an item");
        });
        let (broadcaster, mut listener) = broadcast::channel(1);
        takes_turns("a broadcast", &mut |io| {
            broadcaster.send(1).expect("a receiver");
            listener.recv(io).expect("an item");
        });
        let (teller, mut watcher) = watch::channel(0);
        takes_turns("a watch", &mut |io| {
            teller.send(1);
            watcher.changed(io).expect("a change");
        });
        takes_turns("a timeout that has passed", &mut |io| {
            io.timeout(Duration::ZERO, |io| mutex.lock(io).map(drop)).expect_err("timed out");
        });
        takes_turns("an empty group", &mut |io| scope(io, |group| group.wait(io)).expect("not canceled"));
        takes_turns("a group without a wait", &mut |io| scope(io, |_| ()));
        takes_turns("the end of an empty group", &mut |io| scope(io, |group| group.cancel(io)));
        takes_turns("an empty try_group", &mut |io| io.try_group(|_| io::Result::Ok(())).expect("nobody fails"));
        takes_turns("an empty select", &mut |io| {
            io.join_set(|_: &JoinSet<'_, '_, ()>| io::Result::Ok(())).expect("nobody fails");
        });
        takes_turns("an empty batch", &mut |io| io.batch(|_| io::Result::Ok(())).expect("nobody fails"));
        let udp = UdpSocket::bind(io, (Ipv4Addr::LOCALHOST, 0)).expect("bind");
        udp.connect(io, udp.local_addr(io).expect("address")).expect("connect");
        takes_turns("a socket that is never empty", &mut |io| {
            // A batch that is not full: the remaining messages are lost, or found by the next call.
            udp.send_many(io, &[(); 4].map(|()| OutgoingMessage { bytes: b"x", to: None })).expect("sent");
            udp.recv_many(io, &mut [Message::with_room(1), Message::with_room(1)]).expect("received");
        });
        let (stream, peer) = tcp_pair(io);
        let mut left = 0;
        takes_turns("a stream that has more", &mut |io| {
            if left == 0 {
                left = 16 << 10;
                peer.write_all(io, &vec![0; left]).expect("room");
            }
            left -= stream.read(io, &mut [0]).expect("received");
        });
        takes_turns("an operation without a wait", &mut |io| udp.local_addr(io).map(drop).expect("address"));
    });
}

/// Without a unit of concurrency, each task runs on top of its starter, which therefore never waits.
fn tasks_that_run_inline_let_others_run(on: &On) {
    on.executors(1).async_limit(0).run(|io| {
        calls_take_turns(on, io, "spawn_async and join", CALLS_PER_TURN, |io| io.spawn_async(|_| ()).join(io));
    });
    on.executors(1).run(|io| {
        calls_take_turns(on, io, "begun by its joiner", CALLS_PER_TURN, |io| io.spawn_async(|_| ()).join(io));
    });
}

/// A loop that ignores the errors of its calls is a bug, but must not harm all other tasks.
fn each_call_that_is_refused_lets_others_run(on: &On) {
    on.executors(1).on_thread(|io| {
        for (name, point) in POINTS {
            let ready = Ready::new(io);
            takes_turns(on, io, name, CALLS_PER_TURN, |io, goes_on| {
                let ended = io.timeout(Duration::ZERO, |io| {
                    while goes_on() {
                        let error =
                            point(io, &ready).err().unwrap_or_else(|| panic!("{name} is no cancellation point"));
                        io.recancel(Canceled::from_error(error).expect("the timeout's request"));
                    }
                    Ok::<(), io::Error>(())
                });
                ended.expect("not an error");
            });
        }
    });
}

/// Uses the processor for longer than any short turn.
fn compute() {
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(3) {
        std::hint::spin_loop();
    }
}

/// Runs `body` beside a task on the same executor that computes and lets others run with `between`. `body` is given the
/// number of computations that have begun.
fn beside_computations<T: Send>(
    io: &dyn Io,
    between: fn(&dyn Io),
    body: impl FnOnce(&dyn Io, &AtomicU64) -> T + Send,
) -> T {
    let (done, begun) = (AtomicBool::new(false), AtomicU64::new(0));
    scope(io, |group| {
        let computing = concurrently(group, |io| {
            while !done.load(Ordering::Acquire) {
                begun.fetch_add(1, Ordering::SeqCst);
                compute();
                between(io);
            }
        });
        let result = concurrently(group, |io| {
            let result = body(io, &begun);
            done.store(true, Ordering::Release);
            result
        });
        computing.join(io);
        result.join(io)
    })
}

/// Returns, for some sleeps, how many computations began between the deadline and the end of the sleep.
fn computations_after_deadlines(io: &dyn Io, between: fn(&dyn Io)) -> Vec<u64> {
    beside_computations(io, between, |io, begun| {
        let sleep = |_| {
            let deadline = io.now() + Duration::from_millis(10);
            let (at_deadline, at_end) = thread::scope(|scope| {
                let at_deadline = scope.spawn(|| {
                    thread::sleep(deadline - monotonic_now());
                    begun.load(Ordering::SeqCst)
                });
                io.sleep_until(deadline).expect("not canceled");
                let at_end = begun.load(Ordering::SeqCst);
                (at_deadline.join().expect("it sleeps"), at_end)
            });
            at_end.saturating_sub(at_deadline)
        };
        (0..8).map(sleep).collect()
    })
}

fn a_task_that_computes_between_its_turns_delays_timers_by_one(on: &On) {
    on.executors(1).run(|io| {
        let late = computations_after_deadlines(io, |io| io.yield_now());
        assert!(on.tasks_are_threads() || late.iter().all(|count| *count <= 1), "{late:?}");
    });
}

/// Before the first delay, the executor cannot know that the task's calls are far apart.
fn a_task_that_computes_between_its_calls_delays_timers_by_one(on: &On) {
    on.executors(1).run(|io| {
        let late = computations_after_deadlines(io, |io| io.check_cancel().expect("not canceled"));
        assert!(on.tasks_are_threads() || late[1..].iter().all(|count| *count <= 1), "{late:?}");
    });
}

fn a_task_that_computes_between_its_turns_delays_completions_by_one(on: &On) {
    on.executors(1).run(|io| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let near = TcpStream::connect(io, listener.local_addr().expect("address")).expect("connect");
        let (mut far, _) = listener.accept().expect("accept");
        let late = beside_computations(
            io,
            |io| io.yield_now(),
            |io, begun| {
                let rounds = 0..10;
                rounds
                    .map(|_| {
                        let (sent, received) = thread::scope(|scope| {
                            let sent = scope.spawn(|| {
                                far.write_all(b"x").expect("written");
                                begun.load(Ordering::SeqCst)
                            });
                            near.read_exact(io, &mut [0]).expect("read");
                            let received = begun.load(Ordering::SeqCst);
                            (sent.join().expect("written"), received)
                        });
                        received.saturating_sub(sent)
                    })
                    .collect::<Vec<_>>()
            },
        );
        assert!(on.tasks_are_threads() || late.iter().all(|count| *count <= 1), "{late:?}");
    });
}

fn a_task_that_computes_between_its_turns_delays_wakes_by_one(on: &On) {
    on.executors(1).run(|io| {
        let late = beside_computations(
            io,
            |io| io.yield_now(),
            |io, begun| {
                let rounds = 0..10;
                rounds
                    .map(|_| {
                        let event = Event::new();
                        let (set, woken) = thread::scope(|scope| {
                            let set = scope.spawn(|| {
                                event.set();
                                begun.load(Ordering::SeqCst)
                            });
                            event.wait(io).expect("not canceled");
                            let woken = begun.load(Ordering::SeqCst);
                            (set.join().expect("set"), woken)
                        });
                        woken.saturating_sub(set)
                    })
                    .collect::<Vec<_>>()
            },
        );
        assert!(on.tasks_are_threads() || late.iter().all(|count| *count <= 1), "{late:?}");
    });
}
