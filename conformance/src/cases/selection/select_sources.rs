//! Signals, ends of programs and items of queues among several things to wait for: one is taken, and nothing from the
//! others.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::process::{self, Child};
use iolite_io::signal::{Signal, Signals};
use iolite_io::sync::{Event, Queue, RecvError, Semaphore, SendErrorKind};
use iolite_io::{
    Io,
    select::{OneOf2, OneOf3, OneOf4},
};

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::cases::process::processes::{endless, shell, state_of};
use crate::cases::process::signals::{alone, send, watch};
use crate::tools::{ExpectCanceled, Race, Random, Watchdog, attempt, concurrently, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    a_signal_is_a_source,
    a_signal_that_loses_is_kept,
    one_signal_wakes_all_who_wait,
    a_signal_is_taken_or_still_there,
    of_a_signal_and_a_permit_one_is_left,
    the_end_of_a_program_is_a_source,
    the_ends_of_many_programs_come_with_their_index,
    an_end_that_loses_can_be_waited_for,
    a_program_dropped_after_a_lost_wait_leaves_no_zombie,
    a_program_whose_wait_is_canceled_goes_on,
    an_end_is_told_or_still_there,
    items_of_a_queue_and_room_are_sources(0),
    items_of_a_queue_and_room_are_sources(1),
    a_closed_queue_is_there,
    many_and_one_meet_on_a_queue,
    an_item_of_a_queue_is_got_or_still_there(0),
    an_item_of_a_queue_is_got_or_still_there(1),
];

pub(crate) const PAIRS: &[Case] = pairs![
    they_come_through_another_to_each,
    signals_go_back_and_forth(1),
    signals_go_back_and_forth(2),
    every_signal_is_accounted_for(1),
    every_signal_is_accounted_for(2),
    every_item_of_a_queue_is_accounted_for(1, 0),
    every_item_of_a_queue_is_accounted_for(2, 0),
    every_item_of_a_queue_is_accounted_for(1, 2),
    every_item_of_a_queue_is_accounted_for(2, 2),
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// Waits for a signal in another task, which has checked for it when `act` is called.
fn signal_while_waiting(io: &dyn Io, watcher: &mut Signals, act: impl FnOnce()) -> Signal {
    let waits = Semaphore::new(1);
    scope(io, |group| {
        let member = concurrently(group, |io| match io.select((watcher.on_next(), waits.on_acquire_many(2))) {
            Ok(OneOf2::First(signal)) => signal.expect("seen"),
            other => panic!("{other:?}"),
        });
        // No task gets ahead of one that waits for two permits.
        until(io, || waits.try_acquire().is_none());
        act();
        member.join(io)
    })
}

fn a_signal_is_a_source(on: &On) {
    let _alone = alone();
    on.run(|io| {
        let mut watcher = Signals::new([Signal::USER1, Signal::USER2]).expect("watched");
        for _ in 0..3 {
            assert_eq!(signal_while_waiting(io, &mut watcher, || send(Signal::USER2)), Signal::USER2);
            let one = io.select((watcher.on_next(), io.now() + SHORT)).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())), "it is taken once");
        }
        send(Signal::USER2);
        send(Signal::USER1);
        for signal in [Signal::USER1, Signal::USER2] {
            let one = io.select((watcher.on_next(), io.now() + LONG)).expect("not canceled");
            assert!(matches!(one, OneOf2::First(Ok(seen)) if seen == signal), "the lowest number first");
        }
        assert_eq!(watcher.try_next(), None);
    });
}

fn a_signal_that_loses_is_kept(on: &On) {
    let _alone = alone();
    on.run(|io| {
        let (mut watcher, stop) = (watch(Signal::USER1), Event::new());
        send(Signal::USER1);
        stop.set();
        for _ in 0..3 {
            let one = io.select((stop.on_wait(), watcher.on_next())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
        }
        assert_eq!(watcher.next(io).expect("kept"), Signal::USER1);
        let result = io.timeout(SHORT, |io| watcher.next(io));
        assert_eq!(result.expect_err("no more").kind(), io::ErrorKind::TimedOut);
    });
}

/// Each waits for its own signal, in any context, and a signal reaches all of its watchers.
fn one_signal_wakes_all_who_wait(on: &On) {
    let _alone = alone();
    on.concurrent_limit(64).run(|io| {
        let waits = Semaphore::new(0);
        let mut watchers: Vec<_> = (0..32).map(|_| watch(Signal::USER1)).collect();
        for _ in 0..3 {
            scope(io, |group| {
                for watcher in &mut watchers {
                    let waits = &waits;
                    drop(concurrently(group, move |io| {
                        waits.add_permits(1);
                        let one = io.select((watcher.on_next(), io.now() + LONG)).expect("not canceled");
                        assert!(matches!(one, OneOf2::First(Ok(Signal::USER1))));
                    }));
                }
                waits.acquire_many_uncancelable(io, 32).forget();
                send(Signal::USER1);
            });
        }
        watchers.iter_mut().for_each(|watcher| assert_eq!(watcher.try_next(), None, "each is seen once"));
    });
}

fn a_signal_is_taken_or_still_there(on: &On) {
    let _alone = alone();
    on.on_thread(|io| {
        let (mut watcher, event) = (watch(Signal::USER1), Event::new());
        Race::new("one of many: a signal", 2_000).run(|start| {
            let taken = attempt(
                io,
                start,
                |io| match io.select((event.on_wait(), watcher.on_next()))? {
                    OneOf2::Second(signal) => signal,
                    OneOf2::First(()) => unreachable!("it is never set"),
                },
                || send(Signal::USER1),
            );
            assert_eq!(watcher.try_next().is_some(), taken.is_none());
            taken.is_some()
        });
    });
}

/// A signal and a permit come at nearly the same time: one is taken, the other is left.
fn of_a_signal_and_a_permit_one_is_left(on: &On) {
    let _alone = alone();
    on.on_thread(|io| {
        let (mut watcher, permits) = (watch(Signal::USER1), Semaphore::new(0));
        Race::new("a signal against a permit", 2_000).run(|start| {
            let seen = scope(io, |group| {
                let member = started(group, io, |io| match io.select((permits.on_acquire(), watcher.on_next())) {
                    Ok(OneOf2::First(permit)) => {
                        permit.forget();
                        false
                    }
                    Ok(OneOf2::Second(signal)) => signal.is_ok(),
                    Err(_) => panic!("nobody cancels it"),
                });
                start.go(|| send(Signal::USER1), || permits.add_permits(1));
                member.join(io)
            });
            assert_eq!(watcher.try_next().is_some(), !seen, "the signal");
            let permit = permits.try_acquire();
            assert_eq!(permit.is_some(), seen, "the permit");
            permit.into_iter().for_each(|permit| permit.forget());
            seen
        });
    });
}

/// No signal is lost to a wait that began while the signal's handler was between two steps: each signal is answered by
/// the next.
fn signals_go_back_and_forth(one: &On, other: &On, executors: usize) {
    let _alone = alone();
    let _watchdog = Watchdog::start();
    let (one, other) = (one.executors(executors).start(), other.start());
    let (mut there, mut back) = (watch(Signal::USER1), watch(Signal::USER2));
    let count = rounds(2_000);
    // A plain thread uses `one`, and a task belongs to `other`.
    scope(other.io(), |group| {
        let member = concurrently(group, |io| {
            for _ in 0..count {
                let one = io.select((io.now() + LONG, there.on_next())).expect("not canceled");
                assert!(matches!(one, OneOf2::Second(Ok(Signal::USER1))));
                send(Signal::USER2);
            }
        });
        for _ in 0..count {
            send(Signal::USER1);
            let one = one.io().select((back.on_next(), one.io().now() + LONG)).expect("not canceled");
            assert!(matches!(one, OneOf2::First(Ok(Signal::USER2))));
        }
        member.join(other.io());
    });
    one.shutdown();
    other.shutdown();
}

fn killed(status: io::Result<ExitStatus>) {
    assert_eq!(status.expect("waited").signal(), Some(Signal::KILL.as_raw()));
}

fn the_end_of_a_program_is_a_source(on: &On) {
    on.run(|io| {
        let mut command = shell("read line; exit 3");
        let mut child = process::spawn(io, command.stdin(Stdio::piped())).expect("spawned");
        for _ in 0..3 {
            let one = io.select((child.on_wait(), io.now() + SHORT)).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())), "it goes on: its input is not closed");
        }
        child.stdin.as_ref().expect("still here").write_all(io, b"line\n").expect("written");
        for _ in 0..3 {
            let one = io.select((child.on_wait(), io.now() + LONG)).expect("not canceled");
            assert!(matches!(one, OneOf2::First(Ok(status)) if status.code() == Some(3)), "{one:?}");
        }
        assert_eq!(child.wait(io).expect("known").code(), Some(3));
    });
}

fn the_ends_of_many_programs_come_with_their_index(on: &On) {
    on.run(|io| {
        let mut children: Vec<Child> = (0..4).map(|_| endless(io)).collect();
        let mut left = vec![0, 1, 2, 3];
        for number in [2, 0, 3, 1] {
            children[number].kill().expect("killed");
            let ends =
                children.iter_mut().enumerate().map(|(index, child)| left.contains(&index).then(|| child.on_wait()));
            let (index, status) = io.select(ends.collect::<Vec<_>>()).expect("not canceled");
            assert_eq!(index, number);
            killed(status);
            left.retain(|other| *other != number);
        }
    });
}

/// A program that has ended stays a zombie for as long as its end is not selected.
fn an_end_that_loses_can_be_waited_for(on: &On) {
    on.run(|io| {
        let (stop, mut child) = (Event::new(), endless(io));
        scope(io, |group| {
            let member = started(group, io, |io| io.select((stop.on_wait(), child.on_wait())).map(drop));
            stop.set();
            member.join(io).expect("not canceled");
        });
        child.kill().expect("killed");
        until(io, || state_of(child.id()) == Some('Z'));
        for _ in 0..3 {
            let one = io.select((stop.on_wait(), child.on_wait())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
            assert_eq!(state_of(child.id()), Some('Z'), "nobody has waited for it");
        }
        let one = io.select((io.now() + LONG, child.on_wait())).expect("not canceled");
        let OneOf2::Second(status) = one else { panic!("it has ended") };
        killed(status);
        assert_eq!(state_of(child.id()), None, "no zombie");
    });
}

/// Its end was not selected and its handle is dropped: it is waited for nevertheless.
fn a_program_dropped_after_a_lost_wait_leaves_no_zombie(on: &On) {
    on.run(|io| {
        let ids: Vec<u32> = (0..20)
            .map(|_| {
                let mut child = endless(io);
                let one = io.select((child.on_wait(), io.now() + SHORT)).expect("not canceled");
                assert!(matches!(one, OneOf2::Second(())));
                child.id()
            })
            .collect();
        until(io, || ids.iter().all(|id| state_of(*id).is_none()));
    });
}

fn a_program_whose_wait_is_canceled_goes_on(on: &On) {
    on.run(|io| {
        let mut child = endless(io);
        scope(io, |group| {
            let waiter = started(group, io, |io| io.select([child.on_wait()]).map(drop));
            waiter.cancel(io).expect_canceled("the waiter is");
        });
        assert_eq!(child.try_wait().expect("asked"), None);
        let result = io.timeout(SHORT, |io| Ok::<_, io::Error>(io.select([child.on_wait()])?.1));
        assert_eq!(result.expect_err("it goes on").kind(), io::ErrorKind::TimedOut);
        child.kill().expect("killed");
        killed(child.wait(io));
    });
}

/// The program ends and the wait is canceled at the same time: its status is returned in any case, and the kernel is
/// asked once.
fn an_end_is_told_or_still_there(on: &On) {
    on.on_thread(|io| {
        let stop = Event::new();
        Race::new("one of many: the end of a program", 200).run(|start| {
            let mut child = endless(io);
            let id = child.id();
            let pid = rustix::process::Pid::from_raw(id as i32).expect("a number");
            let end = || {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
                until(io, || matches!(state_of(id), None | Some('Z')));
            };
            let told = attempt(
                io,
                start,
                |io| match io.select((stop.on_wait(), child.on_wait()))? {
                    OneOf2::Second(status) => status,
                    OneOf2::First(()) => unreachable!("it is never set"),
                },
                end,
            );
            let seen = told.is_some();
            assert_eq!(state_of(id), if seen { None } else { Some('Z') });
            told.into_iter().for_each(|status| killed(Ok(status)));
            killed(child.wait(io));
            seen
        });
    });
}

/// The context waits through an `Io` that is not its own.
fn they_come_through_another_to_each(own: &On, other: &On) {
    let _alone = alone();
    let other = other.start();
    own.in_task(|_| {
        let io = other.io();
        let (mut watcher, mut child) = (watch(Signal::USER1), endless(io));
        let one = io.select((child.on_wait(), watcher.on_next(), io.now() + SHORT)).expect("not canceled");
        assert!(matches!(one, OneOf3::Third(())));
        assert_eq!(signal_while_waiting(io, &mut watcher, || send(Signal::USER1)), Signal::USER1);
        thread::scope(|threads| {
            let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a number");
            threads.spawn(move || rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            match io.select((watcher.on_next(), child.on_wait())) {
                Ok(OneOf2::Second(status)) => killed(status),
                other => panic!("{other:?}"),
            }
        });
    });
    other.shutdown();
}

/// Many wait for signals and permits with short timeouts, and are canceled: each signal reaches each watcher, or is
/// left.
fn every_signal_is_accounted_for(one: &On, other: &On, executors: usize) {
    let _alone = alone();
    let _watchdog = Watchdog::start();
    let (one, other) = (one.executors(executors).start(), other.start());
    let mut random = Random::new("every signal");
    let permits = Semaphore::new(0);
    let (seen, granted) = ([const { AtomicUsize::new(0) }; 4], AtomicUsize::new(0));
    let (mut released, mut sent) = (0, 0);
    let stop = Event::new();
    let wait = |io: &dyn Io, watcher: &mut Signals, seen: &AtomicUsize, mut random: Random| {
        while !stop.is_set() {
            let patience = Duration::from_micros(random.below(200));
            match io.select((watcher.on_next(), permits.on_acquire(), stop.on_wait(), io.now() + patience)) {
                Ok(OneOf4::First(signal)) => {
                    signal.expect("watched");
                    seen.fetch_add(1, Ordering::SeqCst);
                }
                Ok(OneOf4::Second(permit)) => {
                    permit.forget();
                    granted.fetch_add(1, Ordering::SeqCst);
                }
                Ok(_) | Err(_) => {}
            }
        }
    };
    let mut watchers = [(); 4].map(|()| watch(Signal::USER1));
    scope(one.io(), |ones| {
        scope(other.io(), |others| {
            let mut pairs = watchers.iter_mut().zip(&seen);
            let mut job = || {
                let (random, (watcher, seen)) = (random.fork(), pairs.next().expect("one of four"));
                let wait = &wait;
                move |io: &dyn Io| wait(io, watcher, seen, random)
            };
            let ours = [job(), job()].map(|job| concurrently(ones, job));
            let theirs = [job(), job()].map(|job| concurrently(others, job));
            for _ in 0..rounds(500) {
                match random.below(4) {
                    0 => ours[random.below(2) as usize].request_cancel(),
                    1 => theirs[random.below(2) as usize].request_cancel(),
                    2 => {
                        permits.add_permits(1);
                        released += 1;
                    }
                    // The next signal is sent only when all have seen this one: two would count as one.
                    _ => {
                        send(Signal::USER1);
                        sent += 1;
                        until(one.io(), || seen.iter().all(|seen| seen.load(Ordering::SeqCst) == sent));
                    }
                }
            }
            stop.set();
        });
    });
    assert_eq!(granted.load(Ordering::SeqCst) + permits.available(), released);
    watchers.iter_mut().for_each(|watcher| assert_eq!(watcher.try_next(), None));
    one.shutdown();
    other.shutdown();
}

fn get_one(queue: &Queue<usize>) -> Option<usize> {
    let mut items = Vec::new();
    queue.try_get(&mut items, 1).ok()?;
    items.pop()
}

fn try_put(queue: &Queue<usize>, item: usize) -> bool {
    queue.try_put(&mut VecDeque::from([item])).is_ok_and(|count| count == 1)
}

/// Waits for an item of a queue, or to put one, in another task, which waits when `act` is called.
fn while_waiting(io: &dyn Io, queue: &Queue<usize>, item: &mut Option<usize>, act: impl FnOnce()) -> Option<usize> {
    let waits = Semaphore::new(1);
    scope(io, |group| {
        let member = concurrently(group, |io| {
            let getting = item.is_none().then(|| queue.on_get());
            match io.select((getting, queue.on_put(item), waits.on_acquire_many(2))) {
                Ok(OneOf3::First(item)) => Some(item.expect("open")),
                Ok(OneOf3::Second(put)) => put.map(|()| None).expect("open"),
                other => panic!("{other:?}"),
            }
        });
        until(io, || waits.try_acquire().is_none());
        act();
        member.join(io)
    })
}

fn items_of_a_queue_and_room_are_sources(on: &On, capacity: usize) {
    on.run(|io| {
        let queue = Queue::new(capacity);
        assert_eq!(while_waiting(io, &queue, &mut None, || assert!(try_put(&queue, 1))), Some(1));
        assert_eq!(get_one(&queue), None, "it was taken once");
        assert_eq!((0..capacity).filter(|_| try_put(&queue, 2)).count(), capacity);
        let mut item = Some(3);
        let mut got = Vec::new();
        while_waiting(io, &queue, &mut item, || got.extend(get_one(&queue)));
        got.extend(get_one(&queue));
        assert_eq!((item, got.last()), (None, Some(&3)));

        let (mut item, now) = (Some(4), io.now());
        let one = io.select((now, queue.on_put(&mut item), queue.on_get())).expect("not canceled");
        assert!(matches!(one, OneOf3::First(())));
        assert_eq!((item, get_one(&queue)), (Some(4), None), "what lost is left");
        let one = io.select((queue.on_put(&mut None), queue.on_get(), now)).expect("not canceled");
        assert!(matches!(one, OneOf3::Third(())), "there is nothing to put");
    });
}

fn a_closed_queue_is_there(on: &On) {
    on.run(|io| {
        let (mut item, never) = (Some(1), Event::new());
        let (getters, putters) = (Queue::<usize>::new(0), Queue::new(0));
        scope(io, |group| {
            let getter = started(group, io, |io| io.select((never.on_wait(), getters.on_get())).map(drop));
            let putter = started(group, io, |io| match io.select((never.on_wait(), putters.on_put(&mut item))) {
                Ok(OneOf2::Second(put)) => put,
                other => panic!("{other:?}"),
            });
            getters.close();
            putters.close();
            getter.join(io).expect("not canceled");
            assert!(matches!(putter.join(io), Err(SendErrorKind::Closed)));
        });
        assert_eq!(item, Some(1), "what was not put stays");
        let one = io.select((getters.on_get(), putters.on_put(&mut item))).expect("not canceled");
        assert!(matches!(one, OneOf2::First(Err(RecvError::Closed))));
        let one = io.select((putters.on_put(&mut item), getters.on_get())).expect("not canceled");
        assert!(matches!(one, OneOf2::First(Err(SendErrorKind::Closed))));
        assert_eq!(item, Some(1));
    });
}

/// Tasks that wait for one item among other things serve a task that wants many, and the other way round.
fn many_and_one_meet_on_a_queue(on: &On) {
    on.run(|io| {
        let (queue, never) = (Queue::new(0), Event::new());
        scope(io, |group| {
            let getters = [(); 3].map(|()| {
                started(group, io, |io| match io.select((never.on_wait(), queue.on_get())) {
                    Ok(OneOf2::Second(item)) => item.expect("open"),
                    other => panic!("{other:?}"),
                })
            });
            assert_eq!(queue.put(io, &mut VecDeque::from([1, 2, 3]), 3).expect("open"), 3);
            let mut got = getters.map(|getter| getter.join(io));
            got.sort_unstable();
            assert_eq!(got, [1, 2, 3]);

            for item in 4..7 {
                let (queue, never) = (&queue, &never);
                drop(started(group, io, move |io| {
                    let mut item = Some(item);
                    let one = io.select((queue.on_put(&mut item), never.on_wait()));
                    assert!(matches!(one, Ok(OneOf2::First(Ok(())))) && item.is_none());
                }));
            }
            let mut got = Vec::new();
            assert_eq!(queue.get(io, &mut got, 3, 3).expect("open"), 3);
            got.sort_unstable();
            assert_eq!(got, [4, 5, 6]);
        });
    });
}

fn an_item_of_a_queue_is_got_or_still_there(on: &On, capacity: usize) {
    on.on_thread(|io| {
        let (queue, stop) = (Queue::new(capacity), Event::new());
        let mut next = 0;
        Race::new("one of many: an item of a queue", 2_000).run(|start| {
            next += 1;
            let mut left = None;
            let got = attempt(
                io,
                start,
                |io| match io.select((stop.on_wait(), queue.on_get()))? {
                    OneOf2::Second(item) => Ok(item.expect("open")),
                    OneOf2::First(()) => unreachable!("it is never set"),
                },
                || left = (!try_put(&queue, next)).then_some(next),
            );
            assert_eq!([got, left, get_one(&queue)].into_iter().flatten().collect::<Vec<_>>(), [next]);
            got.is_some()
        });
    });
}

const QUEUES: usize = 3;

/// Some put and get single items through any of the queues, others many through one queue; all are canceled now and
/// then.
fn every_item_of_a_queue_is_accounted_for(one: &On, other: &On, executors: usize, capacity: usize) {
    let _watchdog = Watchdog::start();
    let (one, other) = (one.executors(executors).start(), other.start());
    let mut random = Random::new("every item of a queue");
    let queues = [(); QUEUES].map(|()| Queue::new(capacity));
    let count = rounds(1_000);
    let received: Vec<_> = (0..4 * count).map(|_| AtomicUsize::new(0)).collect();
    let putters = AtomicUsize::new(4);
    let put = |io: &dyn Io, number: usize| {
        put_all(io, &queues, number, count);
        if putters.fetch_sub(1, Ordering::SeqCst) == 1 {
            queues.iter().for_each(Queue::close);
        }
    };
    let get = |io: &dyn Io, number: usize| get_all(io, &queues, number, &received);
    scope(one.io(), |ones| {
        scope(other.io(), |others| {
            let (put, get) = (&put, &get);
            let ours = [0, 1].map(|number| concurrently(ones, move |io| put(io, number)));
            let theirs = [2, 3].map(|number| concurrently(others, move |io| put(io, number)));
            let our_getters = [0, 1].map(|number| concurrently(ones, move |io| get(io, number)));
            let their_getters = [2, 3].map(|number| concurrently(others, move |io| get(io, number)));
            while putters.load(Ordering::SeqCst) > 0 {
                let index = random.below(2) as usize;
                match random.below(4) {
                    0 => ours[index].request_cancel(),
                    1 => theirs[index].request_cancel(),
                    2 => our_getters[index].request_cancel(),
                    _ => their_getters[index].request_cancel(),
                }
                one.io().sleep(Duration::from_micros(random.below(200))).expect("nobody cancels this");
            }
        });
    });
    let wrong = received.iter().filter(|count| count.load(Ordering::SeqCst) != 1).count();
    assert_eq!(wrong, 0, "items that did not arrive exactly once");
    one.shutdown();
    other.shutdown();
}

/// Tasks with even numbers put one item at a time through any of the queues, those with odd numbers three through one
/// queue.
fn put_all(io: &dyn Io, queues: &[Queue<usize>; QUEUES], number: usize, count: usize) {
    let mut items: VecDeque<usize> = (number * count..(number + 1) * count).collect();
    while !items.is_empty() {
        if number.is_multiple_of(2) {
            let mut slots: [_; QUEUES] = std::array::from_fn(|_| items.pop_front());
            let mut places = slots.iter_mut();
            let sources = queues.each_ref().map(|queue| queue.on_put(places.next().expect("as many")));
            let _ = io.select(sources).map(|(_, put)| put.expect("it is closed after all were put"));
            slots.into_iter().rev().flatten().for_each(|item| items.push_front(item));
        } else {
            let mut some: VecDeque<usize> = items.drain(..items.len().min(3)).collect();
            let _ = queues[number % QUEUES].put(io, &mut some, 2);
            some.into_iter().rev().for_each(|item| items.push_front(item));
        }
    }
}

/// The same for getting items.
fn get_all(io: &dyn Io, queues: &[Queue<usize>; QUEUES], number: usize, received: &[AtomicUsize]) {
    let mut open = [true; QUEUES];
    while open.contains(&true) {
        let mut items = Vec::new();
        if number.is_multiple_of(2) {
            let sources = [0, 1, 2].map(|index| open[index].then(|| queues[index].on_get()));
            match io.select(sources) {
                Ok((_, Ok(item))) => items.push(item),
                Ok((index, Err(_))) => open[index] = false,
                Err(_) => {}
            }
        } else {
            let index = open.iter().position(|open| *open).expect("one is");
            let deadline = io.now() + SHORT;
            if let Err(RecvError::Closed) = io.timeout_at(deadline, |io| queues[index].get(io, &mut items, 2, 3)) {
                open[index] = false;
            }
        }
        for item in items {
            received[item].fetch_add(1, Ordering::SeqCst);
        }
    }
}
