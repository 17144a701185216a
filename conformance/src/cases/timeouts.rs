//! Timeouts: cancellations with a scope.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::sync::{Event, Mutex, Semaphore, channel};
use iolite_io::{Canceled, Instant, Interval, WaitError};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    a_timeout_ends_a_sleep_not_before_its_time,
    ok_always_wins,
    an_error_of_its_own_passes,
    the_inner_timeout_fires_alone,
    the_outer_timeout_fires_through_the_inner_one,
    of_three_timeouts_the_one_that_fired_is_known,
    a_request_from_outside_is_no_timeout,
    a_timeout_inside_protect_fires,
    a_timeout_around_protect_waits_for_its_end,
    it_is_delivered_once_and_can_be_given_back,
    one_given_back_after_its_scope_is_a_request,
    a_timeout_passes_to_tasks_started_within_it,
    a_timeout_does_not_pass_to_tasks_started_before_it,
    a_shield_keeps_a_timeout_from_tasks_started_within_it,
    a_task_that_outlives_the_timeout_is_not_canceled_by_it,
    a_deadline_that_has_passed_returns_at_once,
    a_deadline_that_has_passed_takes_what_is_there,
    deadline_forms_wait_for_their_time,
    the_longest_time_never_comes,
    a_timed_out_read_exact_tells_its_count,
    many_timers_end_in_their_order,
    ticks_come_at_their_times_and_a_canceled_wait_takes_none,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn timed_out<T>(result: &Result<T, WaitError>) -> bool {
    matches!(result, Err(WaitError::TimedOut(_)))
}

fn a_timeout_ends_a_sleep_not_before_its_time(on: &On) {
    on.run(|io| {
        let begin = io.now();
        assert!(timed_out(&io.timeout(SHORT, |io| io.sleep(LONG))));
        assert!(io.now() - begin >= SHORT);
        io.check_cancel().expect("nothing is left of it");
    });
}

fn ok_always_wins(on: &On) {
    on.run(|io| {
        let value = io.timeout(Duration::ZERO, |io| {
            io.sleep(LONG).expect_canceled("it fires");
            Ok::<_, Canceled>(7)
        });
        assert_eq!(value.expect("an Ok"), 7);
        io.timeout(LONG, |io| io.sleep(Duration::from_micros(1))).expect("in time");
        io.check_cancel().expect("nothing is left of it");
    });
}

fn an_error_of_its_own_passes(on: &On) {
    on.run(|io| {
        let result: io::Result<()> = io.timeout(Duration::ZERO, |io| {
            io.check_cancel().expect_canceled("it fires");
            Err(io::Error::other("mine"))
        });
        assert_eq!(result.expect_err("mine").to_string(), "mine");
    });
}

fn the_inner_timeout_fires_alone(on: &On) {
    on.run(|io| {
        let outer: Result<(), WaitError> = io.timeout(LONG, |io| {
            assert!(timed_out(&io.timeout(SHORT, |io| io.sleep(LONG))));
            io.check_cancel()
        });
        outer.expect("the outer one did not fire");
    });
}

fn the_outer_timeout_fires_through_the_inner_one(on: &On) {
    on.run(|io| {
        let outer: Result<(), WaitError> = io.timeout(SHORT, |io| {
            let inner = io.timeout(LONG, |io| io.sleep(LONG));
            assert!(matches!(inner, Err(WaitError::Canceled(_))), "not the inner one's: {inner:?}");
            inner
        });
        assert!(timed_out(&outer), "{outer:?}");
    });
}

fn of_three_timeouts_the_one_that_fired_is_known(on: &On) {
    on.run(|io| {
        for firing in 0..3 {
            let time = |number| if number == firing { SHORT } else { LONG };
            let mut seen = Vec::new();
            let result: Result<(), WaitError> = io.timeout(time(0), |io| {
                let result = io.timeout(time(1), |io| {
                    let result = io.timeout(time(2), |io| io.sleep(LONG));
                    seen.push((2, timed_out(&result)));
                    result
                });
                seen.push((1, timed_out(&result)));
                result
            });
            seen.push((0, timed_out(&result)));
            let first = seen.iter().find(|(_, timed_out)| *timed_out).expect("one of them fired");
            assert_eq!(first.0, firing, "{seen:?}");
        }
    });
}

fn a_request_from_outside_is_no_timeout(on: &On) {
    on.run(|io| {
        let task = io.spawn_concurrent(|io| io.timeout(LONG, |io| io.sleep(LONG))).expect("concurrent");
        let result = task.cancel(io);
        assert!(matches!(result, Err(WaitError::Canceled(_))), "{result:?}");
    });
}

fn a_timeout_inside_protect_fires(on: &On) {
    on.run(|io| {
        let result = io.protect(|io| io.timeout(SHORT, |io| io.sleep(LONG)));
        assert!(timed_out(&result), "{result:?}");
    });
}

fn a_timeout_around_protect_waits_for_its_end(on: &On) {
    on.run(|io| {
        let begin = io.now();
        let result = io.timeout(SHORT, |io| {
            io.protect(|io| io.sleep(3 * SHORT)).expect("shielded");
            io.check_cancel()
        });
        assert!(timed_out(&result), "right after: {result:?}");
        assert!(io.now() - begin >= 3 * SHORT);
    });
}

fn it_is_delivered_once_and_can_be_given_back(on: &On) {
    on.run(|io| {
        let result = io.timeout(Duration::ZERO, |io| {
            let canceled = io.check_cancel().expect_err("it fires");
            io.check_cancel().expect("once");
            io.recancel(canceled);
            io.sleep(LONG)
        });
        assert!(timed_out(&result), "{result:?}");
    });
}

fn one_given_back_after_its_scope_is_a_request(on: &On) {
    on.in_task(|io| {
        let mut kept = None;
        let result: Result<(), WaitError> = io.timeout(Duration::ZERO, |io| {
            kept = io.check_cancel().err();
            Ok::<_, Canceled>(())
        });
        result.expect("an Ok");
        io.recancel(kept.expect("it fired"));
        io.check_cancel().expect_canceled("not lost");
        io.check_cancel().expect("once");
    });
}

fn a_timeout_passes_to_tasks_started_within_it(on: &On) {
    on.run(|io| {
        let result = io.timeout(SHORT, |io| io.spawn_concurrent(|io| io.sleep(LONG)).expect("concurrent").join(io));
        assert!(timed_out(&result), "the error of a task carries it too: {result:?}");
        let result = io.timeout(SHORT, |io| {
            scope(io, |group| {
                concurrently(group, |io| scope(io, |inner| concurrently(inner, |io| io.sleep(LONG)).join(io))).join(io)
            })
        });
        assert!(timed_out(&result), "and to their tasks: {result:?}");
    });
}

fn a_timeout_does_not_pass_to_tasks_started_before_it(on: &On) {
    on.run(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let before = io.spawn_concurrent(move |io| theirs.wait(io)).expect("concurrent");
        assert!(timed_out(&io.timeout(SHORT, |io| io.sleep(LONG))));
        go.set();
        before.join(io).expect("it is none of its business");
    });
}

fn a_shield_keeps_a_timeout_from_tasks_started_within_it(on: &On) {
    on.run(|io| {
        let result = io.timeout(Duration::ZERO, |io| {
            io.protect(|io| io.spawn_concurrent(|io| io.check_cancel()).expect("concurrent").join(io))
        });
        result.expect("the task was started inside the shield");
    });
}

fn a_task_that_outlives_the_timeout_is_not_canceled_by_it(on: &On) {
    on.run(|io| {
        let (go, ended) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let (theirs, over) = (go.clone(), ended.clone());
        let task = io.timeout(SHORT, |io| {
            let task = io.spawn_concurrent(move |io| {
                over.wait_uncancelable(io);
                let waited = theirs.wait(io);
                (waited, io.check_cancel())
            });
            Ok::<_, Canceled>(task.expect("concurrent"))
        });
        let task = task.expect("in time");
        io.sleep(2 * SHORT).expect("not canceled");
        ended.set();
        go.set();
        let (waited, checked) = task.join(io);
        waited.expect("the scope had ended");
        checked.expect("the scope had ended");
    });
}

fn a_deadline_that_has_passed_returns_at_once(on: &On) {
    on.run(|io| {
        let (mutex, semaphore, event) = (Mutex::new(()), Semaphore::new(0), Event::new());
        let (sender, receiver) = channel::<u32>(0);
        let held = mutex.try_lock();
        let begin = io.now();
        for past in [Instant::ZERO, io.now()] {
            assert!(matches!(mutex.lock_deadline(io, past), Err(WaitError::TimedOut(_))));
            assert!(matches!(semaphore.acquire_deadline(io, past), Err(WaitError::TimedOut(_))));
            assert!(matches!(event.wait_deadline(io, past), Err(WaitError::TimedOut(_))));
            assert!(matches!(receiver.recv_deadline(io, past), Err(iolite_io::sync::RecvError::TimedOut)));
            let error = sender.send_deadline(io, 6, past).expect_err("nobody receives");
            assert!(matches!(error.kind, iolite_io::sync::SendErrorKind::TimedOut) && error.item == 6);
            assert!(timed_out(&io.deadline(past, |io| io.sleep(LONG))));
            io.sleep_until(past).expect("over already");
        }
        drop(held);
        assert!(io.now() - begin < Duration::from_secs(5));
    });
}

/// What is there is taken, also when the time is over.
fn a_deadline_that_has_passed_takes_what_is_there(on: &On) {
    on.run(|io| {
        let (mutex, semaphore, event) = (Mutex::new(()), Semaphore::new(1), Event::new());
        let (sender, receiver) = channel(1);
        event.set();
        drop(mutex.lock_deadline(io, Instant::ZERO).expect("free"));
        drop(semaphore.acquire_deadline(io, Instant::ZERO).expect("free"));
        event.wait_deadline(io, Instant::ZERO).expect("set");
        sender.send_deadline(io, 4, Instant::ZERO).expect("room");
        assert_eq!(receiver.recv_deadline(io, Instant::ZERO).expect("there"), 4);
    });
}

fn deadline_forms_wait_for_their_time(on: &On) {
    on.run(|io| {
        let event = Event::new();
        let deadline = io.now() + SHORT;
        assert!(matches!(event.wait_deadline(io, deadline), Err(WaitError::TimedOut(_))));
        assert!(io.now() >= deadline);
    });
}

fn the_longest_time_never_comes(on: &On) {
    on.run(|io| {
        io.timeout(Duration::MAX, |io| io.sleep(Duration::from_micros(1))).expect("in time");
        let task = io.spawn_concurrent(|io| io.sleep(Duration::MAX)).expect("concurrent");
        task.cancel(io).expect_canceled("canceled");
        let task = io.spawn_concurrent(|io| io.sleep_until(Instant::MAX)).expect("concurrent");
        task.cancel(io).expect_canceled("canceled");
    });
}

/// The count that was reached is in the error, through the timeout.
fn a_timed_out_read_exact_tells_its_count(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.write_all(io, b"abc").expect("sent");
        let mut buffer = [0; 8];
        let result = io.timeout(SHORT, |io| client.read_exact(io, &mut buffer));
        let error = result.expect_err("the rest never comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!iolite_io::Canceled::is_in(&error), "it was delivered");
        // All three, unless the time was over before the call came to read.
        let count = iolite_io::Incomplete::count_of(&error);
        assert!([0, 3].contains(&count), "{count}");
        assert_eq!(buffer[..count], b"abc"[..count]);
        server.write_all(io, b"de").expect("sent");
        client.read_exact(io, &mut buffer[count..5]).expect("what was not counted is still there");
        assert_eq!(&buffer[..5], b"abcde");
    });
}

fn many_timers_end_in_their_order(on: &On) {
    on.run(|io| {
        let ended = Mutex::new(Vec::new());
        let base = io.now() + Duration::from_millis(5);
        scope(io, |group| {
            for number in [3_u32, 1, 4, 0, 2] {
                let ended = &ended;
                drop(concurrently(group, move |io| {
                    io.sleep_until(base + Duration::from_millis(40) * number).expect("not canceled");
                    let late = io.now() - (base + Duration::from_millis(40) * number);
                    ended.lock_uncancelable(io).push((number, late));
                }));
            }
        });
        let ended = ended.into_inner();
        // A machine that is busy elsewhere may delay them past one another.
        if ended.iter().all(|(_, late)| *late < Duration::from_millis(40)) {
            assert_eq!(ended.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        }
    });
}

fn ticks_come_at_their_times_and_a_canceled_wait_takes_none(on: &On) {
    on.run(|io| {
        let period = Duration::from_millis(5);
        let mut ticks = io.interval(period);
        let first = ticks.tick(io).expect("nobody stops it");
        let far = Duration::from_secs(3600);
        for number in 1..4 {
            let tick = ticks.tick(io).expect("nobody stops it");
            assert_eq!(tick, first + period * number);
            assert!(io.now() >= tick);
        }
        let mut ticks = Interval::new(io.now() + far, far);
        let planned = ticks.next();
        let timed_out = io.timeout(period, |io| ticks.tick(io)).expect_err("it is far");
        assert!(matches!(timed_out, WaitError::TimedOut(_)), "{timed_out}");
        assert_eq!(ticks.next(), planned);
    });
}
