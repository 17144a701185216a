//! Timeouts, protection, recancel, groups: the cancellation protocol of the vocabulary, on threads.

mod support;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{Canceled, Io, WaitError, no_suspend};
use support::{cancel_when_asleep, threaded};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(3);

fn timed_out<T>(result: Result<T, WaitError>) -> bool {
    matches!(result, Err(WaitError::TimedOut(_)))
}

#[test]
fn timeouts_nest_and_only_the_one_that_is_over_says_so() {
    threaded(0, 1).run(|io| {
        let outer = io.timeout(LONG, |io| {
            assert!(timed_out(io.timeout(SHORT, |io| io.sleep(LONG))));
            io.check_cancel()
        });
        assert!(outer.is_ok(), "the inner timeout is over with its block");

        let outer = io.timeout(SHORT, |io| {
            let inner = io.timeout(LONG, |io| io.sleep(LONG));
            match inner {
                // The timeout is not the inner one's, so its error continues as a cancellation.
                Err(WaitError::Canceled(canceled)) => Err::<(), _>(canceled),
                other => panic!("{other:?}"),
            }
        });
        assert!(timed_out(outer));
    });
}

#[test]
fn ok_wins_over_a_timeout_that_has_passed() {
    threaded(0, 1).run(|io| {
        let result: Result<u8, WaitError> = io.timeout(Duration::ZERO, |io| {
            let _: Canceled = io.check_cancel().unwrap_err();
            io.check_cancel()?;
            Ok::<_, Canceled>(7)
        });
        assert_eq!(result.unwrap(), 7, "delivered once, and the value is kept");
    });
}

#[test]
fn an_error_that_is_not_the_timeouts_passes() {
    threaded(0, 1).run(|io| {
        let result: io::Result<()> = io.timeout(Duration::ZERO, |_| Err(io::Error::from(io::ErrorKind::NotFound)));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_request_inside_a_timeout_stays_a_request() {
    threaded(0, 1).run(|io| {
        let result = cancel_when_asleep(io, |io| io.timeout(LONG, |io| io.sleep(LONG)));
        assert!(matches!(result, Err(WaitError::Canceled(_))), "{result:?}");
    });
}

#[test]
fn protect_holds_requests_back_and_they_arrive_after_it() {
    threaded(0, 1).run(|io| {
        let (slept, inside, after, again) = cancel_when_asleep(io, |io| {
            let (slept, inside) = io.shield(|io| {
                let outer = io.shield(|io| io.sleep(Duration::from_millis(20)));
                (outer, io.check_cancel())
            });
            (slept, inside, io.check_cancel(), io.check_cancel())
        });
        assert!(slept.is_ok() && inside.is_ok());
        assert!(after.is_err() && again.is_ok());
    });
}

#[test]
fn protect_shields_from_outer_timeouts_and_not_from_inner_ones() {
    threaded(0, 1).run(|io| {
        let outer = io.timeout(Duration::ZERO, |io| {
            io.shield(|io| {
                io.sleep(SHORT).unwrap();
                assert!(timed_out(io.timeout(SHORT, |io| io.sleep(LONG))));
            });
            io.check_cancel()
        });
        assert!(timed_out(outer));
    });
}

#[test]
fn recancel_makes_the_next_point_return_it_again() {
    threaded(0, 1).run(|io| {
        let (second, third) = cancel_when_asleep(io, |io| {
            let canceled = io.sleep(LONG).unwrap_err();
            io.recancel(canceled);
            (io.sleep(LONG), io.check_cancel())
        });
        assert!(second.is_err() && third.is_ok());
        let result = io.timeout(Duration::ZERO, |io| {
            let canceled = io.check_cancel().unwrap_err();
            io.recancel(canceled);
            io.sleep(LONG)
        });
        assert!(timed_out(result), "a timeout's request too, and it stays that timeout's");
    });
}

#[test]
fn a_timeout_passes_to_tasks_started_within_it() {
    threaded(0, 2).run(|io| {
        let result = io.timeout(SHORT, |io| {
            // The wait ends because the member notices the request by itself.
            io.group(|group| group.spawn_concurrent(|io| io.sleep(LONG)).unwrap().join(io))
        });
        assert!(timed_out(result));
        let task = io
            .timeout(LONG, |io| Ok::<_, Canceled>(io.spawn_concurrent(|io| io.sleep(Duration::ZERO)).unwrap()))
            .unwrap();
        task.join(io).unwrap();
    });
}

#[test]
fn a_request_to_a_joiner_is_copied_and_stays_pending() {
    threaded(0, 2).run(|io| {
        let (child, own, again) = cancel_when_asleep(io, |io| {
            let child = io.spawn_concurrent(|io| io.sleep(LONG)).unwrap();
            (child.join(io), io.check_cancel(), io.check_cancel())
        });
        assert!(child.is_err() && own.is_err() && again.is_ok());
    });
}

#[test]
fn an_inline_child_has_a_request_of_its_own() {
    threaded(0, 1).run(|io| {
        let (child, own, again) = cancel_when_asleep(io, |io| {
            let child = io.spawn_async(|io| io.sleep(LONG)).join(io);
            (child, io.check_cancel(), io.check_cancel())
        });
        assert!(child.is_err() && own.is_err() && again.is_ok());
    });
}

#[test]
fn a_group_whose_body_fails_tears_its_members_down() {
    threaded(0, 4).run(|io| {
        let points = AtomicUsize::new(0);
        let result: Result<(), &str> = io.group(|group| {
            for _ in 0..4 {
                let points = &points;
                group
                    .spawn_concurrent(move |io| {
                        // A back-off loop that swallows requests still ends.
                        while points.load(Ordering::Relaxed) < 100 {
                            if io.sleep(LONG).is_err() {
                                points.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    })
                    .unwrap();
            }
            Err("body")
        });
        assert_eq!(result, Err("body"));
    });
}

#[test]
fn a_panic_of_a_member_cancels_the_others_and_is_resumed() {
    threaded(0, 2).run(|io| {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            io.group(|group| -> Result<(), Canceled> {
                group.spawn_concurrent(|io| io.sleep(LONG)).unwrap();
                group.spawn_concurrent(|_| panic!("member")).unwrap();
                Ok(())
            })
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"member"));
    });
}

#[test]
fn a_group_is_used_again_after_wait_and_after_cancel() {
    threaded(0, 2).run(|io| {
        let ended = AtomicUsize::new(0);
        let never = Event::new();
        io.group(|group| {
            for round in 1..=3 {
                group.spawn_concurrent(|_| ended.fetch_add(1, Ordering::Relaxed)).unwrap();
                group.wait(io)?;
                assert_eq!((ended.load(Ordering::Relaxed), group.len()), (round, 0));
                let member = group.spawn_concurrent(|io| never.wait(io)).unwrap();
                group.cancel(io);
                assert!(member.join(io).is_err());
            }
            Ok::<_, Canceled>(())
        })
        .unwrap();
    });
}

#[test]
fn many_short_members_leave_nothing_in_a_long_group() {
    threaded(1, 4).run(|io| {
        io.group(|group| {
            for _ in 0..5_000 {
                group.spawn_waiting(|_| ()).unwrap();
                // The four members that have slots, and those of the same workers that are about to end.
                assert!(group.len() <= 8);
            }
            Ok::<_, Canceled>(())
        })
        .unwrap();
    });
}

#[test]
fn a_dropped_task_is_torn_down_and_waited_for_by_the_runtime() {
    let (tell, told) = mpsc::channel();
    threaded(0, 1).run(|io| {
        let task = move |io: &dyn Io| {
            let first = io.sleep(LONG).is_err();
            tell.send((first, io.check_cancel().is_err())).unwrap();
        };
        drop(io.spawn_concurrent(task).unwrap());
    });
    assert_eq!(told.try_recv(), Ok((true, true)));
}

#[test]
fn blocking_inside_no_suspend_panics() {
    threaded(0, 1).run(|io| {
        let panic = catch_unwind(AssertUnwindSafe(|| no_suspend(|| io.sleep(Duration::ZERO)))).unwrap_err();
        assert!(panic.downcast_ref::<&str>().is_some_and(|message| message.contains("no_suspend")));
        io.sleep(Duration::ZERO).unwrap();
    });
}
