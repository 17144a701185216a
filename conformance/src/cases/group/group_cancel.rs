//! Canceling groups and members, and being canceled while waiting for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::Io;
use iolite_io::sync::Event;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, scope, started};

pub(crate) const CASES: &[Case] = cases![
    cancel_meets_every_member_once,
    a_member_that_returns_canceled_does_not_fail_the_wait,
    a_group_can_be_used_again_after_a_cancel,
    a_member_started_while_the_group_is_canceled_starts_canceled,
    a_member_started_during_tear_down_is_torn_down,
    canceling_one_member_leaves_its_siblings_alone,
    a_request_to_the_waiter_is_copied_and_the_explicit_wait_returns_it,
    the_final_wait_returns_the_bodys_value_and_the_request_stays,
    a_request_to_who_joins_is_copied_and_stays,
    a_shielded_join_copies_nothing,
    each_request_to_a_waiter_is_copied(Waits::Join),
    each_request_to_a_waiter_is_copied(Waits::JoinInline),
    each_request_to_a_waiter_is_copied(Waits::Group),
    each_request_to_a_waiter_is_copied(Waits::End),
    an_abort_cannot_be_swallowed,
    an_abort_of_a_group_meets_every_point_of_every_member,
];

const LONG: Duration = Duration::from_secs(3600);

/// There are three ways in which a member may take a request.
fn cancel_meets_every_member_once(on: &On) {
    on.run(|io| {
        let (started, ready) = ([const { Event::new() }; 3], AtomicUsize::new(0));
        let begin = |number: usize| {
            ready.fetch_add(1, Ordering::Relaxed);
            started[number].set();
        };
        scope(io, |group| {
            let propagating = concurrently(group, |io| {
                begin(0);
                (io.sleep(LONG), io.check_cancel())
            });
            let recanceling = concurrently(group, |io| {
                begin(1);
                io.recancel(io.sleep(LONG).expect_err("canceled"));
                (io.check_cancel(), io.check_cancel())
            });
            let protected = concurrently(group, |io| {
                io.shield(|io| {
                    begin(2);
                    io.sleep(Duration::from_millis(2)).expect("protected");
                });
                // On a busy machine, the request arrives later.
                let mut first = io.check_cancel();
                while first.is_ok() {
                    io.yield_now();
                    first = io.check_cancel();
                }
                (first, io.check_cancel())
            });
            started.iter().for_each(|event| event.wait_uncancelable(io));
            group.cancel(io);
            assert!(group.is_empty());
            for member in [propagating, recanceling, protected] {
                let (first, second) = member.join(io);
                first.expect_canceled("canceled");
                second.expect("once");
            }
        });
        assert_eq!(ready.into_inner(), 3);
    });
}

fn a_member_that_returns_canceled_does_not_fail_the_wait(on: &On) {
    on.run(|io| {
        scope(io, |group| {
            let sleeper = concurrently(group, |io| io.sleep(LONG));
            sleeper.request_cancel();
            drop(sleeper);
            group.wait(io).expect("the waiter was not canceled");
        });
    });
}

fn a_group_can_be_used_again_after_a_cancel(on: &On) {
    on.run(|io| {
        scope(io, |group| {
            for _ in 0..50 {
                let sleeper = concurrently(group, |io| io.sleep(LONG));
                group.cancel(io);
                sleeper.join(io).expect_canceled("canceled");
                concurrently(group, |io| io.sleep(Duration::from_nanos(1))).join(io).expect("not canceled");
            }
        });
    });
}

fn a_member_started_while_the_group_is_canceled_starts_canceled(on: &On) {
    on.run(|io| {
        let canceled = AtomicUsize::new(0);
        let canceled = &canceled;
        scope(io, |group| {
            drop(concurrently(group, move |io| {
                io.sleep(LONG).expect_canceled("canceled");
                // The canceler waits for this member, so it is still canceling.
                let late = group.spawn_async(move |io| io.sleep(LONG));
                late.join(io).expect_canceled("it started canceled");
                canceled.fetch_add(1, Ordering::Relaxed);
            }));
            group.cancel(io);
        });
        assert_eq!(canceled.load(Ordering::Relaxed), 1);
    });
}

/// A group that is torn down starts no task that would stay alive.
fn a_member_started_during_tear_down_is_torn_down(on: &On) {
    on.run(|io| {
        let points = AtomicUsize::new(0);
        let points = &points;
        let result: Result<(), &str> = io.group(|group| {
            drop(concurrently(group, move |io| {
                io.sleep(LONG).expect_canceled("torn down");
                drop(group.spawn_async(move |io| {
                    let count = (0..3).filter(|_| io.sleep(LONG).is_err()).count();
                    points.fetch_add(count, Ordering::Relaxed);
                }));
            }));
            Err("the body's")
        });
        assert_eq!((result, points.load(Ordering::Relaxed)), (Err("the body's"), 3));
    });
}

fn canceling_one_member_leaves_its_siblings_alone(on: &On) {
    on.run(|io| {
        let go = Event::new();
        scope(io, |group| {
            let sibling = concurrently(group, |io| go.wait(io));
            let member = concurrently(group, |io| io.sleep(LONG));
            assert!(!member.is_finished());
            member.cancel(io).expect_canceled("canceled");
            go.set();
            sibling.join(io).expect("not canceled");
        });
    });
}

fn a_request_to_the_waiter_is_copied_and_the_explicit_wait_returns_it(on: &On) {
    on.on_thread(|io| {
        let ended = AtomicUsize::new(0);
        let ended = &ended;
        let started = Event::new();
        let started = &started;
        scope(io, |outer| {
            let parent = concurrently(outer, move |io| {
                scope(io, |group| {
                    for _ in 0..3 {
                        drop(concurrently(group, move |io| {
                            io.sleep(LONG).expect_canceled("a copy of the waiter's request");
                            io.check_cancel().expect("delivered once");
                            ended.fetch_add(1, Ordering::Relaxed);
                        }));
                    }
                    started.set();
                    group.wait(io).expect_canceled("the explicit wait returns it");
                    assert_eq!(ended.load(Ordering::Relaxed), 3, "after the members have ended");
                });
                io.check_cancel()
            });
            started.wait_uncancelable(io);
            parent.cancel(io).expect("delivered once");
        });
    });
}

fn the_final_wait_returns_the_bodys_value_and_the_request_stays(on: &On) {
    on.on_thread(|io| {
        let started = Event::new();
        let started = &started;
        scope(io, |outer| {
            let parent = concurrently(outer, move |io| {
                let value = scope(io, |group| {
                    drop(concurrently(group, move |io| {
                        started.set();
                        io.sleep(LONG).expect_canceled("a copy of the waiter's request");
                    }));
                    11
                });
                (value, io.check_cancel(), io.check_cancel())
            });
            started.wait_uncancelable(io);
            let (value, first, second) = parent.cancel(io);
            assert_eq!(value, 11);
            first.expect_canceled("still pending");
            second.expect("delivered once");
        });
    });
}

fn a_request_to_who_joins_is_copied_and_stays(on: &On) {
    on.on_thread(|io| {
        let started = Event::new();
        let started = &started;
        scope(io, |outer| {
            let parent = concurrently(outer, move |io| {
                let child = io.spawn_concurrent(|io| (io.sleep(LONG), io.check_cancel())).expect("concurrent");
                started.set();
                let (first, second) = child.join(io);
                first.expect_canceled("a copy");
                second.expect("one copy");
                (io.check_cancel(), io.check_cancel())
            });
            started.wait_uncancelable(io);
            let (first, second) = parent.cancel(io);
            first.expect_canceled("still pending: the child's was a copy");
            second.expect("delivered once");
        });
    });
}

fn a_shielded_join_copies_nothing(on: &On) {
    on.on_thread(|io| {
        let (started, go) = (Event::new(), Event::new());
        let (started, go) = (&started, &go);
        scope(io, |outer| {
            let parent = concurrently(outer, move |io| {
                let child = io.shield(|io| {
                    scope(io, |group| {
                        let child = concurrently(group, move |io| {
                            started.set();
                            go.wait(io)
                        });
                        child.join(io)
                    })
                });
                child.expect("the shield holds");
                io.check_cancel()
            });
            started.wait_uncancelable(io);
            parent.request_cancel();
            go.set();
            parent.join(io).expect_canceled("right after the shield");
        });
    });
}

#[derive(Clone, Copy)]
enum Waits {
    /// Waits for a member beside it.
    Join,
    /// Waits for a member that runs on top of it.
    JoinInline,
    /// Waits for the whole group.
    Group,
    /// Waits for the members of a scope, at its end.
    End,
}

/// A member that takes a request and continues to wait is asked again when its waiter is.
fn each_request_to_a_waiter_is_copied(on: &On, waits: Waits) {
    let on = &on.async_limit(0);
    on.run(|io| {
        let (begun, asked) = (Event::new(), [const { Event::new() }; 3]);
        let child = |io: &dyn Io| {
            begun.set();
            for asked in &asked {
                io.sleep(LONG).expect_canceled("asked to stop");
                asked.set();
            }
        };
        let child = &child;
        scope(io, |group| {
            let waiter = concurrently(group, |io| {
                scope(io, |group| match waits {
                    Waits::Join => concurrently(group, child).join(io),
                    Waits::JoinInline => group.spawn_async(child).join(io),
                    Waits::Group => {
                        drop(concurrently(group, child));
                        group.wait(io).expect_canceled("it was asked, too");
                    }
                    Waits::End => drop(concurrently(group, child)),
                });
            });
            begun.wait_uncancelable(io);
            for asked in &asked {
                waiter.request_cancel();
                asked.wait_uncancelable(io);
            }
            waiter.join(io);
        });
    });
}

/// A loop that ignores the errors of its pauses, as retry loops do.
fn swallows(io: &dyn Io) -> usize {
    (0..5).filter(|_| io.sleep(LONG).is_err()).count()
}

fn an_abort_cannot_be_swallowed(on: &On) {
    on.run(|io| {
        let task = io.spawn_concurrent(swallows).expect("concurrent");
        assert_eq!(task.abort(io), 5);
        let task = io.spawn_concurrent(swallows).expect("concurrent");
        task.request_abort();
        assert_eq!(task.join(io), 5);
        scope(io, |group| {
            let (member, sibling) = (started(group, io, swallows), started(group, io, |io| io.sleep(LONG)));
            assert_eq!(member.abort(io), 5);
            assert!(!sibling.is_finished(), "its sibling is left alone");
            sibling.cancel(io).expect_canceled("asked");
        });
    });
}

fn an_abort_of_a_group_meets_every_point_of_every_member(on: &On) {
    on.run(|io| {
        scope(io, |group| {
            let members = [(); 3].map(|()| started(group, io, swallows));
            group.abort(io);
            assert_eq!(members.map(|member| member.join(io)), [5; 3]);
            concurrently(group, |io| io.check_cancel()).join(io).expect("the group is for use again");
        });
    });
}
