//! Timeouts: cancellations with a scope.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use iolite_bridge::Bridge;
use iolite_io::sync::{Event, Mutex, Semaphore, SendErrorKind, broadcast, mpmc::channel};
use iolite_io::{Canceled, Instant, Interval, Io, TimedOut, WaitError, select::OneOf2};

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
    a_timeout_of_a_wait_waits_for_its_time,
    the_longest_time_never_comes,
    a_timed_out_read_exact_tells_its_count,
    many_timers_end_in_their_order,
    ticks_come_at_their_times_and_a_canceled_wait_takes_none,
    a_boxed_error_tells_which_timeout_it_is_of,
    a_foreign_error_is_timed_out_only_by_its_timeout,
    a_foreign_error_of_a_task_is_timed_out,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn timed_out<T>(result: &Result<T, WaitError>) -> bool {
    matches!(result, Err(WaitError::TimedOut(_)))
}

/// An error that nobody can look into, so the timeout cannot either.
#[derive(Debug, PartialEq, Eq)]
struct Foreign(String);

impl<E: Error> From<E> for Foreign {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
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
        let result = io.shield(|io| io.timeout(SHORT, |io| io.sleep(LONG)));
        assert!(timed_out(&result), "{result:?}");
    });
}

fn a_timeout_around_protect_waits_for_its_end(on: &On) {
    on.run(|io| {
        let begin = io.now();
        let result = io.timeout(SHORT, |io| {
            io.shield(|io| io.sleep(3 * SHORT)).expect("shielded");
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
            io.shield(|io| io.spawn_concurrent(|io| io.check_cancel()).expect("concurrent").join(io))
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
            assert!(matches!(io.timeout_at(past, |io| mutex.lock(io)), Err(WaitError::TimedOut(_))));
            assert!(matches!(io.timeout_at(past, |io| semaphore.acquire(io)), Err(WaitError::TimedOut(_))));
            assert!(matches!(io.timeout_at(past, |io| event.wait(io)), Err(WaitError::TimedOut(_))));
            assert!(matches!(io.timeout_at(past, |io| receiver.recv(io)), Err(iolite_io::sync::RecvError::TimedOut)));
            let error = io.timeout_at(past, |io| sender.send(io, 6)).expect_err("nobody receives");
            assert!(matches!(error.kind, iolite_io::sync::SendErrorKind::TimedOut) && error.item == 6);
            assert!(timed_out(&io.timeout_at(past, |io| io.sleep(LONG))));
            io.sleep_until(past).expect("over already");
        }
        drop(held);
        assert!(io.now() - begin < Duration::from_secs(5));
    });
}

/// `select` takes what is ready, even if a deadline beside it has passed.
fn a_deadline_that_has_passed_takes_what_is_there(on: &On) {
    on.run(|io| {
        let (mutex, semaphore, event) = (Mutex::new(()), Semaphore::new(1), Event::new());
        let (sender, receiver) = channel(1);
        event.set();
        let mut item = Some(4);
        assert!(matches!(io.select((mutex.on_lock(), Instant::ZERO)), Ok(OneOf2::First(_))));
        assert!(matches!(io.select((semaphore.on_acquire(), Instant::ZERO)), Ok(OneOf2::First(_))));
        assert!(matches!(io.select((event.on_wait(), Instant::ZERO)), Ok(OneOf2::First(()))));
        assert!(matches!(io.select((sender.on_send(&mut item), Instant::ZERO)), Ok(OneOf2::First(Ok(())))));
        assert!(matches!(io.select((receiver.on_recv(), Instant::ZERO)), Ok(OneOf2::First(Ok(4)))));
    });
}

fn a_timeout_of_a_wait_waits_for_its_time(on: &On) {
    on.run(|io| {
        let event = Event::new();
        let deadline = io.now() + SHORT;
        assert!(matches!(io.timeout_at(deadline, |io| event.wait(io)), Err(WaitError::TimedOut(_))));
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

/// The error contains the count that was reached, also through the timeout.
fn a_timed_out_read_exact_tells_its_count(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.write_all(io, b"abc").expect("sent");
        let mut buffer = [0; 8];
        let result = io.timeout(SHORT, |io| client.read_exact(io, &mut buffer));
        let error = result.expect_err("the rest never comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!iolite_io::Canceled::is_in(&error), "it was delivered");
        // All three, unless the time was over before the call began to read.
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
        // A machine that is busy with other work may delay them past one another.
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

/// The request may leave `call` in any form, alone or as the cause of another error.
fn a_boxed_error_tells_which_timeout_it_is_of(on: &On) {
    type Boxed = Box<dyn Error + Send + Sync>;

    #[derive(Debug)]
    struct Caused(Boxed);

    impl std::fmt::Display for Caused {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("it did not work")
        }
    }

    impl Error for Caused {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    on.run(|io| {
        let (sender, receiver) = channel(0);
        let (_news, reader) = broadcast::channel::<u32>(1);
        let bridge = Bridge::builder("boxed").workers(1).start(io).expect("a bridge");
        let calls: [&dyn Fn(&dyn Io) -> Result<(), Boxed>; 6] = [
            &|io| Ok(io.sleep(LONG)?),
            &|io| Ok(io.sleep(LONG).map_err(io::Error::from)?),
            &|io| Ok(sender.send(io, 1_u32).map_err(SendErrorKind::from)?),
            &|io| Ok(receiver.recv(io).map(drop)?),
            &|io| Ok(reader.clone().recv(io).map(drop)?),
            // The call finds the request that was put back.
            &|io| {
                io.recancel(io.sleep(LONG).expect_err("it fires"));
                Ok(bridge.call(io, |()| ())?)
            },
        ];
        for (number, call) in calls.iter().enumerate() {
            let plain = io.timeout(SHORT, |io| call(io)).expect_err("nothing comes");
            assert!(plain.is::<TimedOut>(), "{number}: {plain}");
            let caused = io.timeout(SHORT, |io| call(io).map_err(|error| -> Boxed { Box::new(Caused(error)) }));
            let caused = caused.expect_err("nothing comes");
            assert!(caused.is::<TimedOut>(), "{number}: {caused}");
        }
        // The request of another timeout is not changed.
        let outer = io.timeout(SHORT, |io| io.timeout(LONG, |io| calls[2](io)));
        assert!(outer.expect_err("nothing comes").is::<TimedOut>());
        let mut passed = None;
        let error = io.timeout(SHORT, |io| {
            let inner = io.timeout(LONG, |io| calls[2](io));
            passed = inner.as_ref().err().map(|error| error.is::<TimedOut>());
            inner
        });
        assert!(error.expect_err("nothing comes").is::<TimedOut>());
        assert_eq!(passed, Some(false), "the inner one has not fired");
        bridge.close(io);
    });
}

fn a_foreign_error_is_timed_out_only_by_its_timeout(on: &On) {
    let mine = || Err::<u32, _>(Foreign("mine".into()));
    on.run(|io| {
        let sleep = |io: &dyn Io| -> Result<u32, Foreign> { Ok(io.sleep(LONG).map(|()| 7)?) };
        assert_eq!(io.timeout_any(SHORT, sleep), Err(TimedOut));
        // Before its time, and after it, if no cancellation point has delivered the request.
        assert_eq!(io.timeout_any(LONG, |_| mine()), Ok(mine()));
        assert_eq!(io.timeout_any(Duration::ZERO, |_| mine()), Ok(mine()));
        // An `Ok` wins.
        let swallowed = io.timeout_any(Duration::ZERO, |io| {
            io.sleep(LONG).expect_canceled("it fires");
            Ok::<_, Foreign>(7)
        });
        assert_eq!(swallowed, Ok(Ok(7)));
        // If the request was put back, it is not the reason for the failure.
        let given_back = io.timeout_any(Duration::ZERO, |io| {
            io.recancel(io.sleep(LONG).expect_err("it fires"));
            mine()
        });
        assert_eq!(given_back, Ok(mine()));
        // The outer timeout's request does not belong to the inner one.
        let mut inner = None;
        let outer = io.timeout_any(SHORT, |io| {
            let result = io.timeout_any(LONG, sleep);
            inner = Some(matches!(result, Ok(Err(_))));
            result.expect("not the inner one")
        });
        assert_eq!((outer, inner), (Err(TimedOut), Some(true)));
        // Neither does a request from outside.
        scope(io, |group| {
            let task = concurrently(group, |io| io.timeout_any(LONG, sleep));
            let canceled = task.cancel(io).expect("it is not over").expect_err("asked to stop");
            assert!(canceled.0.starts_with("canceled: the task was asked to stop"), "{canceled:?}");
        });
        io.check_cancel().expect("nothing is left of it");
    });
}

fn a_foreign_error_of_a_task_is_timed_out(on: &On) {
    on.run(|io| {
        let sleep = |io: &dyn Io| -> Result<(), Foreign> { Ok(io.sleep(LONG)?) };
        let result = io.timeout_any(SHORT, |io| io.group(|group| concurrently(group, sleep).join(io)));
        assert_eq!(result, Err(TimedOut));
        // A task that got no request has failed by itself.
        let result = io.timeout_any(LONG, |io| {
            io.group(|group| concurrently(group, |_| Err::<(), _>(Foreign("mine".into()))).join(io))
        });
        assert_eq!(result, Ok(Err(Foreign("mine".into()))));
    });
}
