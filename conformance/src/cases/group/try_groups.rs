//! Groups that fail as a whole with their first error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{Canceled, Io, TryGroup};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, panic_of, panic_quietly, rounds};

pub(crate) const CASES: &[Case] = cases![
    the_values_of_members_come_out,
    the_first_error_stops_the_others_and_is_returned,
    the_body_is_stopped_where_it_waits,
    a_body_that_joins_another_task_passes_the_stop_on,
    a_shield_in_the_body_holds_the_stop_back,
    the_error_of_the_body_counts_as_one_of_the_members,
    a_member_that_runs_inline_may_fail,
    panics_come_before_errors,
    a_request_from_outside_reaches_members_and_body,
    members_that_fail_at_once,
];

const LONG: Duration = Duration::from_secs(3600);

/// Errors that name their origin.
#[derive(Debug, PartialEq)]
enum Failed {
    Member(usize),
    Body,
    Stopped,
}

impl From<Canceled> for Failed {
    fn from(_: Canceled) -> Self {
        Failed::Stopped
    }
}

fn sleep(io: &dyn Io) -> Result<(), Failed> {
    Ok(io.sleep(LONG)?)
}

fn the_values_of_members_come_out(on: &On) {
    on.run(|io| {
        let sum = io.try_group(|group: &TryGroup<'_, '_, Failed>| {
            let members = [
                group.spawn_async(|_| Ok(1)),
                group.spawn_concurrent(|_| Ok(2)).expect("concurrent"),
                group.spawn_waiting(|_| Ok(4)).expect("waiting"),
            ];
            members.into_iter().try_fold(0, |sum, member| Ok(sum + member.join(io)?))
        });
        assert_eq!(sum, Ok(7));
    });
}

fn the_first_error_stops_the_others_and_is_returned(on: &On) {
    on.run(|io| {
        let stopped = AtomicUsize::new(0);
        let result = io.try_group(|group| {
            for _ in 0..3 {
                let member = group.spawn_concurrent(|io| {
                    sleep(io).inspect_err(|error| {
                        assert_eq!(*error, Failed::Stopped);
                        stopped.fetch_add(1, Ordering::Relaxed);
                    })
                });
                drop(member.expect("concurrent"));
            }
            let failing = group.spawn_concurrent(|_| Err::<(), _>(Failed::Member(7))).expect("concurrent");
            failing.join(io).expect_canceled("it has failed");
            Ok(())
        });
        assert_eq!(result, Err(Failed::Member(7)));
        assert_eq!(stopped.into_inner(), 3);
    });
}

fn the_body_is_stopped_where_it_waits(on: &On) {
    on.run(|io| {
        let result: Result<(), _> = io.try_group(|group| {
            drop(group.spawn_concurrent(|_| Err::<(), _>(Failed::Member(1))).expect("concurrent"));
            // The group stays failed: a loop with back-off does not swallow it.
            for _ in 0..3 {
                assert_eq!(sleep(io), Err(Failed::Stopped));
            }
            io.recancel(io.check_cancel().expect_err("for good"));
            Ok(())
        });
        assert_eq!(result, Err(Failed::Member(1)));
        io.check_cancel().expect("the request was the group's and ended with it");
    });
}

fn a_body_that_joins_another_task_passes_the_stop_on(on: &On) {
    on.run(|io| {
        let result = io.try_group(|group| {
            io.group(|others| {
                let other = others.spawn_concurrent(sleep).expect("concurrent");
                drop(group.spawn_concurrent(|_| Err::<(), _>(Failed::Member(2))).expect("concurrent"));
                assert_eq!(other.join(io), Err(Failed::Stopped));
                Ok(())
            })
        });
        assert_eq!(result, Err(Failed::Member(2)));
    });
}

fn a_shield_in_the_body_holds_the_stop_back(on: &On) {
    on.run(|io| {
        let result: Result<(), _> = io.try_group(|group| {
            let member = group.spawn_concurrent(|_| Err::<(), _>(Failed::Member(3))).expect("concurrent");
            io.shield(|io| {
                member.join(io).expect_canceled("it has failed");
                io.check_cancel().expect("shielded");
            });
            io.check_cancel().expect_canceled("the shield is over");
            Ok(())
        });
        assert_eq!(result, Err(Failed::Member(3)));
    });
}

fn the_error_of_the_body_counts_as_one_of_the_members(on: &On) {
    on.run(|io| {
        let result: Result<(), _> = io.try_group(|group| {
            drop(group.spawn_concurrent(sleep).expect("concurrent"));
            Err(Failed::Body)
        });
        assert_eq!(result, Err(Failed::Body), "and not that of the member that it stopped");
    });
}

fn a_member_that_runs_inline_may_fail(on: &On) {
    let on = &on.async_limit(0);
    on.run(|io| {
        let result = io.try_group(|group| {
            group.spawn_async(|_| Err::<(), _>(Failed::Member(4))).join(io)?;
            unreachable!("joining it says Canceled");
        });
        assert_eq!(result, Err::<(), _>(Failed::Member(4)));
    });
}

fn panics_come_before_errors(on: &On) {
    on.run(|io| {
        let panic = panic_of(|| {
            io.try_group(|group| {
                drop(group.spawn_concurrent(|_| Err::<(), _>(Failed::Member(5))).expect("concurrent"));
                let _ = sleep(io);
                panic_quietly("the body's");
                #[allow(unreachable_code)]
                Ok(())
            })
        });
        assert_eq!(panic, "the body's");
    });
}

fn a_request_from_outside_reaches_members_and_body(on: &On) {
    on.run(|io| {
        let began = Event::new();
        io.group(|group| {
            let task = group
                .spawn_concurrent(|io| {
                    io.try_group(|group| {
                        let member = group.spawn_concurrent(|io| {
                            began.set();
                            sleep(io)
                        });
                        Ok(member.expect("concurrent").join(io)?)
                    })
                })
                .expect("concurrent");
            began.wait(io)?;
            assert_eq!(task.cancel(io), Err(Failed::Stopped));
            Ok::<_, Canceled>(())
        })
        .expect("nobody stops the case");
    });
}

/// If several fail at once, exactly one error is returned, and every error is dropped.
fn members_that_fail_at_once(on: &On) {
    on.run(|io| {
        for _ in 0..rounds(200) {
            let go = Event::new();
            let result: Result<(), _> = io.try_group(|group| {
                for number in 0..3 {
                    let go = &go;
                    let member = group.spawn_concurrent(move |io| {
                        go.wait_uncancelable(io);
                        Err::<(), _>(Failed::Member(number))
                    });
                    drop(member.expect("concurrent"));
                }
                go.set();
                Ok(())
            });
            assert!(matches!(result, Err(Failed::Member(_))), "{result:?}");
        }
    });
}
