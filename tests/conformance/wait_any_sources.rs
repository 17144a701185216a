//! Signals and ends of programs among many things to wait for: one is taken, and nothing of the others.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite::process::{self, Child};
use iolite::signal::{Signal, Signals};
use iolite::sync::{Event, Semaphore};
use iolite::{Io, OneOf2, OneOf3};
use rstest::rstest;

use crate::processes::{endless, shell, state_of};
use crate::signals::{alone, send, watch};
use crate::support::{
    ExpectCanceled, On, Race, Random, attempt, concurrently, evented, rounds, scope, started, threaded, until,
};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// Waits for a signal in another task, which has looked for it when `act` is called.
fn signal_while_waiting(io: &dyn Io, watcher: &mut Signals, act: impl FnOnce()) -> Signal {
    let waits = Semaphore::new(1);
    scope(io, |group| {
        let member = concurrently(group, |io| match io.wait_any((watcher.arriving(), waits.acquiring_many(2))) {
            Ok(OneOf2::First(signal)) => signal.expect("seen"),
            other => panic!("{other:?}"),
        });
        // Nobody gets ahead of who waits for two.
        until(io, || waits.try_acquire().is_none());
        act();
        member.join(io)
    })
}

#[rstest]
fn a_signal_is_a_source(#[values(threaded(), evented())] on: On) {
    let _alone = alone();
    on.run(|io| {
        let mut watcher = Signals::new([Signal::USER1, Signal::USER2]).expect("watched");
        for _ in 0..3 {
            assert_eq!(signal_while_waiting(io, &mut watcher, || send(Signal::USER2)), Signal::USER2);
            let one = io.wait_any((watcher.arriving(), io.now() + SHORT)).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())), "it is taken once");
        }
        send(Signal::USER2);
        send(Signal::USER1);
        for signal in [Signal::USER1, Signal::USER2] {
            let one = io.wait_any((watcher.arriving(), io.now() + LONG)).expect("not canceled");
            assert!(matches!(one, OneOf2::First(Ok(seen)) if seen == signal), "the lowest number first");
        }
        assert_eq!(watcher.try_next(), None);
    });
}

#[rstest]
fn a_signal_that_loses_is_kept(#[values(threaded(), evented())] on: On) {
    let _alone = alone();
    on.run(|io| {
        let (mut watcher, stop) = (watch(Signal::USER1), Event::new());
        send(Signal::USER1);
        stop.set();
        for _ in 0..3 {
            let one = io.wait_any((stop.waiting(), watcher.arriving())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
        }
        assert_eq!(watcher.next(io).expect("kept"), Signal::USER1);
        let result = io.timeout(SHORT, |io| watcher.next(io));
        assert_eq!(result.expect_err("no more").kind(), io::ErrorKind::TimedOut);
    });
}

/// Each waits for its own, in whatever context, and a signal comes to all.
#[rstest]
fn one_signal_wakes_all_who_wait(#[values(threaded(), evented())] on: On) {
    let _alone = alone();
    on.concurrent_limit(64).run(|io| {
        let waits = Semaphore::new(0);
        let mut watchers: Vec<_> = (0..32).map(|_| watch(Signal::USER1)).collect();
        for _ in 0..3 {
            scope(io, |group| {
                for watcher in &mut watchers {
                    let waits = &waits;
                    drop(concurrently(group, move |io| {
                        waits.release();
                        let one = io.wait_any((watcher.arriving(), io.now() + LONG)).expect("not canceled");
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

#[rstest]
fn a_signal_is_taken_or_still_there(#[values(threaded(), evented())] on: On) {
    let _alone = alone();
    on.on_thread(|io| {
        let (mut watcher, event) = (watch(Signal::USER1), Event::new());
        Race::new("one of many: a signal", 2_000).run(|start| {
            let taken = attempt(
                io,
                start,
                |io| match io.wait_any((event.waiting(), watcher.arriving()))? {
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

/// A signal and a permit at nearly the same time: one is taken, the other is left.
#[rstest]
fn of_a_signal_and_a_permit_one_is_left(#[values(threaded(), evented())] on: On) {
    let _alone = alone();
    on.on_thread(|io| {
        let (mut watcher, permits) = (watch(Signal::USER1), Semaphore::new(0));
        Race::new("a signal against a permit", 2_000).run(|start| {
            let seen = scope(io, |group| {
                let member = started(group, io, |io| match io.wait_any((permits.acquiring(), watcher.arriving())) {
                    Ok(OneOf2::First(permit)) => {
                        permit.forget();
                        false
                    }
                    Ok(OneOf2::Second(signal)) => signal.is_ok(),
                    Err(_) => panic!("nobody cancels it"),
                });
                start.go(|| send(Signal::USER1), || permits.release());
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

/// No signal is lost to a wait that began while its handler was between two steps: each is answered by the next.
#[rstest]
fn signals_go_back_and_forth(
    #[values(threaded(), evented(), evented().executors(1))] one: On,
    #[values(threaded(), evented())] other: On,
) {
    let _alone = alone();
    let _watchdog = crate::support::Watchdog::start();
    let (one, other) = (one.start(), other.start());
    let (mut there, mut back) = (watch(Signal::USER1), watch(Signal::USER2));
    let count = rounds(2_000);
    // A plain thread of `one`, and a task of `other`.
    scope(other.io(), |group| {
        let member = concurrently(group, |io| {
            for _ in 0..count {
                let one = io.wait_any((io.now() + LONG, there.arriving())).expect("not canceled");
                assert!(matches!(one, OneOf2::Second(Ok(Signal::USER1))));
                send(Signal::USER2);
            }
        });
        for _ in 0..count {
            send(Signal::USER1);
            let one = one.io().wait_any((back.arriving(), one.io().now() + LONG)).expect("not canceled");
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

#[rstest]
fn the_end_of_a_program_is_a_source(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let mut command = shell("read line; exit 3");
        let mut child = process::spawn(io, command.stdin(Stdio::piped())).expect("spawned");
        for _ in 0..3 {
            let one = io.wait_any((child.exiting(), io.now() + SHORT)).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())), "it goes on: its input is not closed");
        }
        child.stdin.as_ref().expect("still here").write_all(io, b"line\n").expect("written");
        for _ in 0..3 {
            let one = io.wait_any((child.exiting(), io.now() + LONG)).expect("not canceled");
            assert!(matches!(one, OneOf2::First(Ok(status)) if status.code() == Some(3)), "{one:?}");
        }
        assert_eq!(child.wait(io).expect("known").code(), Some(3));
    });
}

#[rstest]
fn the_ends_of_many_programs_come_with_their_index(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let mut children: Vec<Child> = (0..4).map(|_| endless(io)).collect();
        let mut left = vec![0, 1, 2, 3];
        for number in [2, 0, 3, 1] {
            children[number].kill().expect("killed");
            let ends =
                children.iter_mut().enumerate().map(|(index, child)| left.contains(&index).then(|| child.exiting()));
            let (index, status) = io.wait_any(ends.collect::<Vec<_>>()).expect("not canceled");
            assert_eq!(index, number);
            killed(status);
            left.retain(|other| *other != number);
        }
    });
}

/// A program that has ended stays as it is for as long as its end loses.
#[rstest]
fn an_end_that_loses_can_be_waited_for(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let (stop, mut child) = (Event::new(), endless(io));
        scope(io, |group| {
            let member = started(group, io, |io| io.wait_any((stop.waiting(), child.exiting())).map(drop));
            stop.set();
            member.join(io).expect("not canceled");
        });
        child.kill().expect("killed");
        until(io, || state_of(child.id()) == Some('Z'));
        for _ in 0..3 {
            let one = io.wait_any((stop.waiting(), child.exiting())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
            assert_eq!(state_of(child.id()), Some('Z'), "nobody has waited for it");
        }
        let one = io.wait_any((io.now() + LONG, child.exiting())).expect("not canceled");
        let OneOf2::Second(status) = one else { panic!("it has ended") };
        killed(status);
        assert_eq!(state_of(child.id()), None, "no zombie");
    });
}

/// Its wait has lost and its handle goes: it is waited for all the same.
#[rstest]
fn a_program_dropped_after_a_lost_wait_leaves_no_zombie(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let ids: Vec<u32> = (0..20)
            .map(|_| {
                let mut child = endless(io);
                let one = io.wait_any((child.exiting(), io.now() + SHORT)).expect("not canceled");
                assert!(matches!(one, OneOf2::Second(())));
                child.id()
            })
            .collect();
        until(io, || ids.iter().all(|id| state_of(*id).is_none()));
    });
}

#[rstest]
fn a_program_whose_wait_is_canceled_goes_on(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let mut child = endless(io);
        scope(io, |group| {
            let waiter = started(group, io, |io| io.wait_any([child.exiting()]).map(drop));
            waiter.cancel(io).expect_canceled("the waiter is");
        });
        assert_eq!(child.try_wait().expect("asked"), None);
        let result = io.timeout(SHORT, |io| Ok::<_, io::Error>(io.wait_any([child.exiting()])?.1));
        assert_eq!(result.expect_err("it goes on").kind(), io::ErrorKind::TimedOut);
        child.kill().expect("killed");
        killed(child.wait(io));
    });
}

/// The program ends and the wait is canceled at the same time: its end is told in any case, and once to the kernel.
#[rstest]
fn an_end_is_told_or_still_there(#[values(threaded(), evented())] on: On) {
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
                |io| match io.wait_any((stop.waiting(), child.exiting()))? {
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
#[test]
fn they_come_through_threaded_and_evented_to_each_other() {
    let _alone = alone();
    for (own, other) in [(threaded(), evented()), (evented(), threaded()), (evented(), evented())] {
        let other = other.start();
        own.in_task(|_| {
            let io = other.io();
            let (mut watcher, mut child) = (watch(Signal::USER1), endless(io));
            let one = io.wait_any((child.exiting(), watcher.arriving(), io.now() + SHORT)).expect("not canceled");
            assert!(matches!(one, OneOf3::Third(())));
            assert_eq!(signal_while_waiting(io, &mut watcher, || send(Signal::USER1)), Signal::USER1);
            thread::scope(|threads| {
                let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a number");
                threads.spawn(move || rustix::process::kill_process(pid, rustix::process::Signal::KILL));
                match io.wait_any((watcher.arriving(), child.exiting())) {
                    Ok(OneOf2::Second(status)) => killed(status),
                    other => panic!("{other:?}"),
                }
            });
        });
        other.shutdown();
    }
}

/// Many wait impatiently for signals and permits, and are canceled: each signal comes to each watcher, or is left.
#[rstest]
fn every_signal_is_accounted_for(
    #[values(threaded(), evented(), evented().executors(1))] one: On,
    #[values(threaded(), evented())] other: On,
) {
    let _alone = alone();
    let _watchdog = crate::support::Watchdog::start();
    let (one, other) = (one.start(), other.start());
    let mut random = Random::new("every signal");
    let permits = Semaphore::new(0);
    let (seen, granted) = ([const { AtomicUsize::new(0) }; 4], AtomicUsize::new(0));
    let (mut released, mut sent) = (0, 0);
    let stop = Event::new();
    let wait = |io: &dyn Io, watcher: &mut Signals, seen: &AtomicUsize, mut random: Random| {
        while !stop.is_set() {
            let patience = Duration::from_micros(random.below(200));
            match io.wait_any((watcher.arriving(), permits.acquiring(), stop.waiting(), io.now() + patience)) {
                Ok(iolite::OneOf4::First(signal)) => {
                    signal.expect("watched");
                    seen.fetch_add(1, Ordering::SeqCst);
                }
                Ok(iolite::OneOf4::Second(permit)) => {
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
                        permits.release();
                        released += 1;
                    }
                    // The next only when all have seen this one: a second would count as the same.
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
