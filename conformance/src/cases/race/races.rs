//! Cancellation against completion, thousands of times: nothing is lost, and the request is delivered exactly once, by
//! the call that it ended or by the next cancellation point.

use std::io::{self, Read, Write};
use std::net;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use iolite_io::net::{TcpListener, TcpStream, option};
use iolite_io::sync::{Barrier, Event, Mutex, Notify, Semaphore, SemaphorePermit, TryRecvError, mpmc::channel};
use iolite_io::{Io, OwnedGroup};
use rustix::net::SendFlags;

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, panic_quietly, rounds, scope, spin, until};

pub(crate) const CASES: &[Case] = cases![
    an_item_is_received_or_still_there(0),
    an_item_is_received_or_still_there(1),
    an_item_is_sent_or_comes_back,
    a_permit_is_taken_or_still_there,
    a_lock_is_taken_or_free,
    an_event_is_seen_or_canceled,
    a_notification_is_taken_or_kept,
    two_meet_at_a_barrier_or_do_not,
    a_sleep_is_over_or_canceled,
    a_timeout_loses_no_item(false),
    a_timeout_loses_no_item(true),
    a_request_may_meet_the_end_of_its_task,
    many_may_cancel_one_task,
    a_group_is_for_use_again_when_its_panic_was_told,
];

pub(crate) const PAIRS: &[Case] = pairs![
    a_byte_is_received_or_still_there,
    a_connection_is_accepted_or_still_waits,
    bytes_that_were_sent_are_counted,
    a_timeout_loses_no_byte,
];

/// Runs the case with the explicit `Io`, and with the `Io` whose tasks use it: either the same, or one of another
/// subject. In the latter case the operations are performed elsewhere, and the request and the completion meet in yet
/// another way.
fn done_by(one: &On, other: &On, case: impl FnOnce(&dyn Io, &dyn Io)) {
    one.on_thread(|io| {
        if one.name() == other.name() {
            return case(io, io);
        }
        let other = other.start();
        case(io, other.io());
        other.shutdown();
    });
}

/// Waits for something that should be available at once, with a time limit, so that a loss is not a hang.
fn soon<T>(io: &dyn Io, f: impl FnOnce(&dyn Io) -> io::Result<T>) -> io::Result<T> {
    io.timeout(Duration::from_secs(20), f)
}

/// Returns a connection whose other end is std's and does not use the tested `Io`.
fn half(io: &dyn Io) -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let ours = TcpStream::connect(io, listener.local_addr().expect("address")).expect("connect");
    let (theirs, _) = listener.accept().expect("accept");
    theirs.set_nodelay(true).expect("set");
    (ours, theirs)
}

fn a_byte_is_received_or_still_there(one: &On, other: &On) {
    done_by(one, other, |io, tasks| {
        let (ours, mut theirs) = half(io);
        Race::new("receive", 2_000).run(|start| {
            let read = |io: &dyn Io| ours.read(io, &mut [0; 8]);
            let count = attempt(tasks, start, |_| read(io), || theirs.write_all(b"x").expect("sent"));
            assert_eq!(count.unwrap_or_else(|| soon(io, read).expect("it is still there")), 1);
            count.is_some()
        });
    });
}

fn a_connection_is_accepted_or_still_waits(one: &On, other: &On) {
    done_by(one, other, |io, tasks| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        Race::new("accept", 2_000).run(|start| {
            let accept = |io: &dyn Io| listener.accept(io).map(|(_, peer)| peer);
            let mut client = None;
            let accepted = attempt(
                tasks,
                start,
                |_| accept(io),
                || client = Some(net::TcpStream::connect(address).expect("connect")),
            );
            let client = client.expect("connected").local_addr().expect("address");
            assert_eq!(accepted.unwrap_or_else(|| soon(io, accept).expect("it still waits")), client);
            accepted.is_some()
        });
    });
}

/// The peer gets exactly the bytes that a canceled writer reports.
fn bytes_that_were_sent_are_counted(one: &On, other: &On) {
    done_by(one, other, |io, tasks| {
        let (ours, mut theirs) = half(io);
        // Sizes that were set do not grow by themselves.
        ours.set_option(io, option::SEND_BUFFER_SIZE, 8 << 10).expect("set");
        theirs.set_nonblocking(true).expect("set");
        let chunk = vec![1; 32 << 10];
        let mut ledger = 0_u64;
        Race::new("send", 1_000).run(|start| {
            while let Ok(count) = rustix::net::send(ours.as_fd(), &chunk, SendFlags::DONTWAIT) {
                ledger += count as u64;
            }
            let mut drained = 0;
            let sent = attempt(tasks, start, |_| ours.write(io, &chunk), || drained += drain(&mut theirs));
            ledger += sent.unwrap_or(0) as u64;
            ledger -= drained;
            while ledger > 0 {
                ledger = ledger.checked_sub(drain(&mut theirs)).expect("more arrived than was reported");
            }
            sent.is_some()
        });
        drop(ours);
        theirs.set_nonblocking(false).expect("set");
        assert_eq!(theirs.read(&mut [0]).expect("the end"), 0, "nothing arrived that was not reported");
    });
}

/// Reads everything that is available.
fn drain(stream: &mut net::TcpStream) -> u64 {
    let mut buffer = [0; 32 << 10];
    let mut drained = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        drained += count as u64;
    }
    drained
}

fn an_item_is_received_or_still_there(on: &On, capacity: usize) {
    on.on_thread(|io| {
        let (sender, receiver) = channel(capacity);
        let mut next = 0_u32;
        Race::new("receive an item", 2_000).run(|start| {
            next += 1;
            let mut back = None;
            let received = attempt(
                io,
                start,
                |io| Ok(receiver.recv(io)?),
                // With capacity 0, there may be no receiver any more.
                || back = sender.try_send(next).err().map(|error| error.item),
            );
            let there = receiver.try_recv();
            let places = [received, back, there.ok()];
            assert_eq!(places.into_iter().flatten().collect::<Vec<_>>(), [next], "it is in one place");
            received.is_some()
        });
    });
}

fn an_item_is_sent_or_comes_back(on: &On) {
    on.on_thread(|io| {
        let (sender, receiver) = channel(1);
        let mut next = 0_u32;
        Race::new("send an item", 2_000).run(|start| {
            next += 1;
            sender.try_send(0).expect("room");
            let sent = attempt(
                io,
                start,
                |io| {
                    sender.send(io, next).map_err(|error| {
                        assert_eq!(error.item, next, "its own item comes back");
                        io::Error::from(error)
                    })
                },
                || assert_eq!(receiver.try_recv(), Ok(0)),
            );
            let there = receiver.try_recv();
            assert_eq!(there, if sent.is_some() { Ok(next) } else { Err(TryRecvError::Empty) });
            sent.is_some()
        });
    });
}

fn a_permit_is_taken_or_still_there(on: &On) {
    on.on_thread(|io| {
        let semaphore = Semaphore::new(0);
        Race::new("permit", 2_000).run(|start| {
            let take = |io: &dyn Io| Ok(semaphore.acquire(io)?);
            let taken = attempt(io, start, take, || semaphore.add_permits(1)).map(SemaphorePermit::forget).is_some();
            assert_eq!(semaphore.available(), usize::from(!taken));
            if !taken {
                semaphore.try_acquire().expect("it is there").forget();
            }
            taken
        });
    });
}

fn a_lock_is_taken_or_free(on: &On) {
    on.on_thread(|io| {
        let mutex = Mutex::new(0_usize);
        let mut expected = 0;
        Race::new("lock", 2_000).run(|start| {
            let held = mutex.try_lock().expect("free between the rounds");
            let count = |io: &dyn Io| {
                *mutex.lock(io)? += 1;
                Ok(())
            };
            let locked = attempt(io, start, count, || drop(held)).is_some();
            expected += usize::from(locked);
            assert_eq!(*mutex.try_lock().expect("free again"), expected);
            locked
        });
    });
}

fn an_event_is_seen_or_canceled(on: &On) {
    on.on_thread(|io| {
        Race::new("event", 2_000).run(|start| {
            let event = Event::new();
            let seen = attempt(io, start, |io| Ok(event.wait(io)?), || event.set()).is_some();
            assert!(event.is_set());
            seen
        });
    });
}

fn a_notification_is_taken_or_kept(on: &On) {
    on.on_thread(|io| {
        let notify = Notify::new();
        Race::new("notify", 2_000).run(|start| {
            let taken = attempt(io, start, |io| Ok(notify.wait(io)?), || notify.notify_one()).is_some();
            assert_eq!(notify.try_wait(), !taken);
            taken
        });
    });
}

/// Both sides agree on whether they have met.
fn two_meet_at_a_barrier_or_do_not(on: &On) {
    on.on_thread(|io| {
        let barrier = Barrier::new(2);
        Race::new("barrier", 2_000).run(|start| {
            let mut met = false;
            let arrive = || met = io.timeout(Duration::from_micros(200), |io| barrier.wait(io)).is_ok();
            let other_met = attempt(io, start, |io| Ok(barrier.wait(io)?), arrive);
            assert_eq!(other_met.is_some(), met);
            met
        });
    });
}

fn a_sleep_is_over_or_canceled(on: &On) {
    const TIME: Duration = Duration::from_micros(300);
    on.on_thread(|io| {
        Race::new("sleep", 1_000).run(|start| {
            let started = Event::new();
            scope(io, |group| {
                let sleeper = concurrently(group, |io| {
                    let begin = io.now();
                    started.set();
                    let slept = io.sleep(TIME).is_ok();
                    (slept, io.now() - begin)
                });
                started.wait_uncancelable(io);
                spin(start.cancellation_delay(TIME));
                let (slept, elapsed) = sleeper.cancel(io);
                assert!(!slept || elapsed >= TIME, "success after {elapsed:?} of {TIME:?}");
                slept
            })
        });
    });
}

/// A timeout is a cancellation too: a completion wins, and nothing is lost.
fn a_timeout_loses_no_item(on: &On, by_deadline: bool) {
    const TIME: Duration = Duration::from_micros(200);
    on.on_thread(|io| {
        let (sender, receiver) = channel(1);
        let mut next = 0_u32;
        Race::new("timeout against an item", 1_000).run(|start| {
            next += 1;
            let started = Event::new();
            scope(io, |group| {
                let receiving = concurrently(group, |io| {
                    started.set();
                    if by_deadline {
                        io.timeout_at(io.now() + TIME, |io| receiver.recv(io)).map_err(io::Error::from)
                    } else {
                        io.timeout(TIME, |io| receiver.recv(io).map_err(io::Error::from))
                    }
                });
                started.wait_uncancelable(io);
                spin(start.completion_delay(TIME));
                sender.try_send(next).expect("room");
                match receiving.join(io) {
                    Ok(item) => {
                        assert_eq!(item, next);
                        true
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                        assert_eq!(receiver.try_recv(), Ok(next), "it is still there");
                        false
                    }
                }
            })
        });
    });
}

fn a_timeout_loses_no_byte(one: &On, other: &On) {
    const TIME: Duration = Duration::from_micros(200);
    done_by(one, other, |io, tasks| {
        let (ours, mut theirs) = half(io);
        Race::new("timeout against a byte", 1_000).run(|start| {
            let started = Event::new();
            scope(tasks, |group| {
                let reading = concurrently(group, |_| {
                    started.set();
                    io.timeout(TIME, |io| ours.read(io, &mut [0; 8]))
                });
                started.wait_uncancelable(io);
                spin(start.completion_delay(TIME));
                theirs.write_all(b"x").expect("sent");
                match reading.join(io) {
                    Ok(count) => {
                        assert_eq!(count, 1);
                        true
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                        assert_eq!(soon(io, |io| ours.read(io, &mut [0; 8])).expect("it is still there"), 1);
                        false
                    }
                }
            })
        });
    });
}

/// A request races the end of the task itself.
fn a_request_may_meet_the_end_of_its_task(on: &On) {
    on.on_thread(|io| {
        for round in 0..rounds(2_000) {
            let task = io.spawn_concurrent(|_| 1).expect("concurrent");
            spin(Duration::from_nanos(round as u64 * 37 % 60_000));
            task.request_cancel();
            match round % 3 {
                0 => assert_eq!(task.join(io), 1),
                1 => drop(task),
                _ => task.detach(),
            }
        }
    });
}

/// Many requests from many sides at once: each is delivered at most once, and none hangs.
fn many_may_cancel_one_task(on: &On) {
    on.run(|io| {
        for _ in 0..rounds(300) {
            scope(io, |group| {
                let target = concurrently(group, |io| io.sleep(Duration::from_secs(3600)));
                scope(io, |cancelers| {
                    for _ in 0..4 {
                        let target = &target;
                        drop(concurrently(cancelers, move |_| target.request_cancel()));
                    }
                });
                target.join(io).expect_canceled("canceled");
            });
        }
    });
}

/// Its panic is reported on one thread while another one drops the handle, which leaves the panic to the group.
fn a_group_is_for_use_again_when_its_panic_was_told(on: &On) {
    on.run(|io| {
        let group = OwnedGroup::new(io.handle().expect("a handle"));
        scope(io, |others| {
            for _ in 0..rounds(2_000) {
                let member = group.spawn_concurrent(|_| panic_quietly("a member's")).expect("the group has not failed");
                until(io, || group.is_empty());
                let begun = Arc::new(Event::new());
                let by_dropper = begun.clone();
                let dropper = concurrently(others, move |_| {
                    by_dropper.set();
                    drop(member);
                });
                begun.wait(io).expect("not canceled");
                until(io, || catch_unwind(AssertUnwindSafe(|| group.wait(io))).is_err());
                dropper.join(io);
                group.spawn_async(|io| io.check_cancel()).join(io).expect("it is for use again");
            }
        });
    });
}
