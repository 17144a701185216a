//! The cancellation protocol: once, put back, sticky, shielded.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::net::TcpListener;
use iolite_io::sync::{
    Barrier, Event, LazyLock, Mutex, Notify, Once, OnceLock, Queue, ReentrantMutex, RwLock, Semaphore, broadcast,
    futex, mpmc::channel, watch,
};
use iolite_io::{Canceled, Io, OwnedGroup, no_suspend};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, panic_of, rounds, scope, tcp_pair, until};

pub(crate) const CASES: &[Case] = cases![
    a_request_is_delivered_once,
    a_second_request_is_delivered_too,
    recancel_makes_the_next_point_return_it_again,
    canceled_goes_through_io_errors_and_comes_back,
    tear_down_cannot_be_swallowed,
    protection_nests_and_delivers_right_after,
    a_request_during_the_protection_arrives_after_it,
    protection_ends_with_its_panic,
    protection_does_not_pass_to_other_tasks,
    a_fresh_task_inherits_nothing_from_the_one_before,
    a_canceled_sleep_is_no_early_success,
    a_canceled_timed_wait_is_canceled_and_not_timed_out,
    canceling_one_reader_does_not_disturb_another_on_the_same_stream,
    canceling_one_acceptor_does_not_disturb_another,
    an_unrelated_signal_cancels_nothing,
    a_request_reaches_a_sleep_deep_in_calls_that_do_not_pass_it_on,
    a_blocking_call_inside_no_suspend_panics,
    what_need_not_wait_inside_no_suspend_panics_too,
];

const LONG: Duration = Duration::from_secs(3600);

/// Runs `body` in a task that has a pending request from its beginning.
fn requested<T: Send>(io: &dyn Io, body: impl FnOnce(&dyn Io) -> T + Send) -> T {
    let go = Event::new();
    scope(io, |group| {
        let member = concurrently(group, |io| {
            go.wait_uncancelable(io);
            body(io)
        });
        member.request_cancel();
        go.set();
        member.join(io)
    })
}

fn a_request_is_delivered_once(on: &On) {
    on.run(|io| {
        requested(io, |io| {
            io.check_cancel().expect_canceled("delivered");
            for _ in 0..3 {
                io.check_cancel().expect("clean-up code can go on");
                io.sleep(Duration::from_micros(1)).expect("and wait");
            }
        });
    });
}

fn a_second_request_is_delivered_too(on: &On) {
    on.run(|io| {
        let (first, second) = (Event::new(), Event::new());
        scope(io, |group| {
            let member = concurrently(group, |io| {
                io.sleep(LONG).expect_canceled("the first");
                first.set();
                second.wait_uncancelable(io);
                (io.check_cancel(), io.check_cancel())
            });
            member.request_cancel();
            first.wait_uncancelable(io);
            member.request_cancel();
            second.set();
            let (again, after) = member.join(io);
            again.expect_canceled("the second");
            after.expect("each once");
        });
    });
}

fn recancel_makes_the_next_point_return_it_again(on: &On) {
    on.run(|io| {
        requested(io, |io| {
            for _ in 0..3 {
                let canceled = io.sleep(LONG).expect_err("delivered, again and again");
                io.recancel(canceled);
            }
            io.check_cancel().expect_canceled("delivered");
            io.check_cancel().expect("not given back");
        });
    });
}

fn canceled_goes_through_io_errors_and_comes_back(on: &On) {
    on.run(|io| {
        requested(io, |io| {
            let error = io::Error::from(io.check_cancel().expect_err("delivered"));
            assert!(Canceled::is_in(&error));
            assert_ne!(error.kind(), io::ErrorKind::Interrupted);
            io.recancel(Canceled::from_error(error).expect("it is in there"));
            io.check_cancel().expect_canceled("given back");
        });
        let kernels = io::Error::from_raw_os_error(125);
        assert!(!Canceled::is_in(&kernels), "the kernel's ECANCELED is not ours");
        assert_eq!(Canceled::from_error(kernels).expect_err("not ours").raw_os_error(), Some(125));
    });
}

fn tear_down_cannot_be_swallowed(on: &On) {
    on.run(|io| {
        let result: Result<(), &str> = io.group(|group| {
            drop(concurrently(group, |io| {
                // A loop with back-off, as real programs contain it.
                let mut attempts = 0;
                while attempts < 50 {
                    if io.sleep(LONG).is_err() {
                        attempts += 1;
                    }
                }
                io.shield(|io| {
                    io.check_cancel().expect("shielded");
                    io.timeout(Duration::from_millis(1), |io| io.sleep(LONG)).expect_err("the timeout fires");
                });
                io.check_cancel().expect_canceled("still torn down");
            }));
            Err("tear down")
        });
        result.expect_err("the body's");
    });
}

fn protection_nests_and_delivers_right_after(on: &On) {
    on.run(|io| {
        requested(io, |io| {
            let value = io.shield(|io| {
                io.check_cancel().expect("shielded");
                io.shield(|io| io.sleep(Duration::from_micros(10)).expect("shielded twice"));
                io.check_cancel().expect("the outer one still shields");
                io.sleep(Duration::from_micros(10)).expect("also what blocks");
                5
            });
            assert_eq!(value, 5);
            io.check_cancel().expect_canceled("right after");
            io.check_cancel().expect("once");
        });
    });
}

fn a_request_during_the_protection_arrives_after_it(on: &On) {
    on.run(|io| {
        let (inside, go) = (Event::new(), Event::new());
        scope(io, |group| {
            let member = concurrently(group, |io| {
                let shielded = io.shield(|io| {
                    inside.set();
                    go.wait(io)
                });
                (shielded, io.sleep(LONG))
            });
            inside.wait_uncancelable(io);
            member.request_cancel();
            go.set();
            let (shielded, after) = member.join(io);
            shielded.expect("shielded");
            after.expect_canceled("after it");
        });
    });
}

fn protection_ends_with_its_panic(on: &On) {
    on.run(|io| {
        requested(io, |io| {
            crate::tools::panic_of(|| io.shield(|_| crate::tools::panic_quietly("deliberate")));
            io.check_cancel().expect_canceled("no shield was left behind");
        });
    });
}

fn protection_does_not_pass_to_other_tasks(on: &On) {
    on.run(|io| {
        io.shield(|io| {
            let task = io.spawn_concurrent(|io| io.sleep(LONG)).expect("concurrent");
            task.cancel(io).expect_canceled("the child is not shielded");
            let inline = io.spawn_async(|io| io.check_cancel());
            inline.join(io).expect("nobody canceled it");
        });
    });
}

fn a_fresh_task_inherits_nothing_from_the_one_before(on: &On) {
    // There is one unit, so that contexts are reused.
    on.concurrent_limit(1).on_thread(|io| {
        for _ in 0..100 {
            let ended = io.spawn_concurrent(|_| 1).expect("concurrent");
            // Even if it is too late, it must not reach the next task.
            ended.request_cancel();
            ended.join(io);
            let next = io.spawn_concurrent(|io| io.check_cancel()).expect("concurrent");
            next.join(io).expect("not requested");
        }
    });
}

fn a_canceled_sleep_is_no_early_success(on: &On) {
    on.run(|io| {
        for round in 0..rounds(300) {
            let duration = Duration::from_micros(round as u64 % 300);
            let task = io.spawn_concurrent(move |io| {
                let begin = io.now();
                let slept = io.sleep(duration);
                (slept.is_ok(), io.now().saturating_duration_since(begin))
            });
            let task = task.expect("concurrent");
            (0..round % 5).for_each(|_| io.yield_now());
            let (slept, elapsed) = task.cancel(io);
            assert!(!slept || elapsed >= duration, "slept {elapsed:?} of {duration:?}");
        }
    });
}

fn a_canceled_timed_wait_is_canceled_and_not_timed_out(on: &On) {
    on.run(|io| {
        let event = Arc::new(Event::new());
        let theirs = event.clone();
        let task =
            io.spawn_concurrent(move |io| io.timeout_at(io.now() + LONG, |io| theirs.wait(io))).expect("concurrent");
        assert!(matches!(task.cancel(io), Err(iolite_io::WaitError::Canceled(_))));
        let (_sender, receiver) = channel::<u32>(1);
        let task =
            io.spawn_concurrent(move |io| io.timeout_at(io.now() + LONG, |io| receiver.recv(io))).expect("concurrent");
        assert!(matches!(task.cancel(io), Err(iolite_io::sync::RecvError::Canceled(_))));
    });
}

fn canceling_one_reader_does_not_disturb_another_on_the_same_stream(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        for round in 0..50 {
            scope(io, |group| {
                let stays = concurrently(group, |io| {
                    let mut buffer = [0; 4];
                    client.read(io, &mut buffer).map(|count| (count, buffer))
                });
                let goes = concurrently(group, |io| client.read(io, &mut [0; 4]));
                (0..round % 7).for_each(|_| io.yield_now());
                assert!(Canceled::is_in(&goes.cancel(io).expect_err("canceled")));
                server.write_all(io, b"here").expect("sent");
                assert_eq!(stays.join(io).expect("not canceled"), (4, *b"here"));
            });
        }
    });
}

fn canceling_one_acceptor_does_not_disturb_another(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        for _ in 0..50 {
            scope(io, |group| {
                let stays = concurrently(group, |io| listener.accept(io).map(|(_, peer)| peer));
                let goes = concurrently(group, |io| listener.accept(io).map(drop));
                assert!(Canceled::is_in(&goes.cancel(io).expect_err("canceled")));
                let client = iolite_io::net::TcpStream::connect(io, address).expect("connect");
                let peer = stays.join(io).expect("not canceled");
                assert_eq!(peer, client.local_addr(io).expect("address"));
            });
        }
    });
}

/// Foreign code sends the signal that the library itself may use.
fn an_unrelated_signal_cancels_nothing(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        let event = Event::new();
        let done = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::URG)
                        .expect("a signal to oneself");
                    thread::yield_now();
                }
            });
            scope(io, |group| {
                let reader = concurrently(group, |io| client.read_exact(io, &mut [0; 4]));
                let waiter = concurrently(group, |io| event.wait(io));
                let sleeper = concurrently(group, |io| {
                    let begin = io.now();
                    io.sleep(Duration::from_millis(30)).map(|()| io.now() - begin)
                });
                assert!(sleeper.join(io).expect("not canceled") >= Duration::from_millis(30));
                server.write_all(io, b"here").expect("sent");
                event.set();
                reader.join(io).expect("not canceled");
                waiter.join(io).expect("not canceled");
            });
            // A signal during `connect` is not an error.
            (0..20).for_each(|_| drop(tcp_pair(io)));
            done.store(true, Ordering::Relaxed);
        });
    });
}

fn a_request_reaches_a_sleep_deep_in_calls_that_do_not_pass_it_on(on: &On) {
    fn deep(io: &dyn Io, depth: u32) -> bool {
        if depth == 0 { io.sleep(LONG).is_err() } else { deep(io, depth - 1) }
    }
    on.run(|io| {
        let task = io.spawn_concurrent(|io| deep(io, 30)).expect("concurrent");
        assert!(task.cancel(io));
    });
}

fn a_blocking_call_inside_no_suspend_panics(on: &On) {
    on.run(|io| {
        let event = Event::new();
        let calls: [&dyn Fn(); 4] = [
            &|| drop(io.check_cancel()),
            &|| drop(io.sleep(Duration::from_millis(1))),
            &|| event.wait_uncancelable(io),
            &|| drop(TcpListener::bind(io, "127.0.0.1:0")),
        ];
        for call in calls {
            let text = panic_of(|| no_suspend(call));
            assert!(text.contains("no_suspend"), "{text}");
        }
        io.check_cancel().expect("it is over");
    });
}

/// Calls of each primitive that are not cancellation points, and would not have to wait.
fn what_need_not_wait_inside_no_suspend_panics_too(on: &On) {
    on.run(|io| {
        let (mutex, reentrant, held, lock) =
            (Mutex::new(()), ReentrantMutex::new(()), ReentrantMutex::new(()), RwLock::new(()));
        let (semaphore, event, notify, barrier) = (Semaphore::new(2), Event::new(), Notify::new(), Barrier::new(1));
        let (cell, full, once, lazy) =
            (OnceLock::new(), OnceLock::from(1), Once::new(), LazyLock::new(|_: &dyn Io| io::Result::Ok(1)));
        let ((sender, receiver), queue, word) = (channel(8), Queue::new(8), AtomicU32::new(1));
        let ((told, mut hears), (shows, mut sees)) = (broadcast::channel(8), watch::channel(0));
        let _held = held.try_lock().expect("free");
        event.set();
        notify.notify_one();
        sender.try_send(1).expect("room");
        queue.try_put(&mut VecDeque::from([1])).expect("open");
        told.send(1).expect("heard");
        shows.send(1);
        let finished = io.spawn_async(|_| ());
        until(io, || finished.is_finished());
        let group = OwnedGroup::new(io.handle().expect("a runtime's"));
        let member = group.spawn_async(|_| ());
        until(io, || member.is_finished());
        let (finished, member) = (Cell::new(Some(finished)), Cell::new(Some(member)));
        let calls: &mut [(&str, &mut dyn FnMut())] = &mut [
            ("mutex", &mut || drop(mutex.lock_uncancelable(io))),
            ("reentrant mutex", &mut || drop(reentrant.lock_uncancelable(io))),
            ("reentrant mutex that is held", &mut || drop(held.lock_uncancelable(io))),
            ("read", &mut || drop(lock.read_uncancelable(io))),
            ("write", &mut || drop(lock.write_uncancelable(io))),
            ("acquire", &mut || drop(semaphore.acquire_uncancelable(io))),
            ("acquire_many", &mut || drop(semaphore.acquire_many_uncancelable(io, 2))),
            ("event", &mut || event.wait_uncancelable(io)),
            ("notify", &mut || notify.wait_uncancelable(io)),
            ("barrier", &mut || _ = barrier.wait_uncancelable(io)),
            ("once cell", &mut || _ = cell.get_or_init_uncancelable(io, || 1)),
            ("once cell with a value", &mut || _ = full.get_or_init_uncancelable(io, || 1)),
            ("value of a once cell", &mut || _ = full.wait_uncancelable(io)),
            ("once", &mut || once.call_once_uncancelable(io, || ())),
            ("lazy", &mut || drop(lazy.force_uncancelable(io))),
            ("send", &mut || drop(sender.send_uncancelable(io, 1))),
            ("recv", &mut || drop(receiver.recv_uncancelable(io))),
            ("put", &mut || drop(queue.put_uncancelable(io, &mut VecDeque::from([1]), 1))),
            ("get", &mut || drop(queue.get_uncancelable(io, &mut Vec::new(), 1, 1))),
            ("broadcast", &mut || drop(hears.recv_uncancelable(io))),
            ("watch", &mut || drop(sees.changed_uncancelable(io))),
            ("futex", &mut || futex::wait_uncancelable(io, &word, 0)),
            ("join of a task", &mut || finished.take().into_iter().for_each(|task| task.join(io))),
            ("join of a member", &mut || member.take().into_iter().for_each(|member| member.join(io))),
            ("group cancel", &mut || group.cancel(io)),
            ("group", &mut || scope(io, |_| ())),
            ("yield_now", &mut || io.yield_now()),
        ];
        for (name, call) in calls {
            let text = panic_of(|| no_suspend(&mut **call));
            assert!(text.contains("no_suspend"), "{name}: {text}");
        }
        assert_eq!(receiver.try_recv(), Ok(1), "nothing was taken");
        assert_eq!((receiver.len(), queue.len(), cell.get()), (0, 1, None), "nothing was done");
        assert!(notify.try_wait() && mutex.try_lock().is_some() && semaphore.available() == 2);
    });
}
