//! Groups: the tasks that they wait for, their results, and what they borrow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::{Event, mpmc::channel};
use iolite_io::{Io, OwnedGroup, Task};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, panic_of, panic_quietly, scope};

pub(crate) const CASES: &[Case] = cases![
    members_borrow_from_outside,
    members_return_their_results,
    results_borrow_and_are_dropped_before_the_group_returns,
    an_empty_group_returns_at_once,
    the_body_is_waited_for_and_its_value_returned,
    an_error_of_the_body_cancels_the_members_and_is_returned,
    a_panic_of_the_body_cancels_the_members_and_is_resumed,
    a_panic_without_a_handle_cancels_the_siblings_and_is_the_groups,
    a_panic_with_a_handle_is_resumed_at_its_join_alone,
    a_panic_is_told_whenever_its_handle_is_dropped,
    wait_resumes_the_panic_and_the_group_can_be_used_again,
    who_would_wait_for_its_own_end_panics,
    a_member_ends_its_group_without_waiting,
    members_may_be_started_while_the_group_is_waited_for,
    a_group_can_be_used_again_after_waiting,
    groups_nest_and_an_inner_error_is_the_inner_groups,
    members_have_groups_of_their_own,
    several_may_wait_for_one_group,
    an_owned_group_waits_cancels_and_counts,
    dropping_an_owned_group_tears_its_members_down_and_does_not_wait,
    dropping_a_member_does_nothing,
];

const LONG: Duration = Duration::from_secs(3600);

fn members_borrow_from_outside(on: &On) {
    on.run(|io| {
        let text = String::from("borrowed");
        let mut counts = [0_usize; 4];
        scope(io, |group| {
            for (number, count) in counts.iter_mut().enumerate() {
                let text = &text;
                drop(group.spawn_async(move |_| *count = text.len() * number));
            }
        });
        assert_eq!(counts, [0, 8, 16, 24], "what members wrote is visible after waiting");
    });
}

fn members_return_their_results(on: &On) {
    on.run(|io| {
        let sum: u32 = scope(io, |group| {
            let members = [
                group.spawn_async(|_| 1),
                group.spawn_concurrent(|_| 2).expect("concurrent"),
                group.spawn_waiting(|_| 4).expect("waiting"),
            ];
            members.into_iter().map(|member| member.join(io)).sum()
        });
        assert_eq!(sum, 7);
    });
}

/// A result may borrow what the members borrow, even if nobody takes the result.
fn results_borrow_and_are_dropped_before_the_group_returns(on: &On) {
    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    on.run(|io| {
        for _ in 0..100 {
            let dropped = AtomicUsize::new(0);
            scope(io, |group| {
                for _ in 0..5 {
                    drop(group.spawn_async(|_| Counted(&dropped)));
                }
            });
            assert_eq!(dropped.into_inner(), 5);
        }
    });
}

fn an_empty_group_returns_at_once(on: &On) {
    on.run(|io| {
        assert_eq!(scope(io, |_| 5), 5);
        scope(io, |group| {
            group.wait(io).expect("not canceled");
            group.cancel(io);
            assert!(group.is_empty());
        });
    });
}

fn the_body_is_waited_for_and_its_value_returned(on: &On) {
    on.run(|io| {
        let ended = AtomicUsize::new(0);
        let value: Result<u32, io::Error> = io.group(|group| {
            for _ in 0..3 {
                drop(concurrently(group, |io| {
                    io.sleep(Duration::from_millis(1)).expect("not canceled");
                    ended.fetch_add(1, Ordering::Relaxed);
                }));
            }
            Ok(9)
        });
        assert_eq!((value.expect("the body's"), ended.into_inner()), (9, 3));
    });
}

fn an_error_of_the_body_cancels_the_members_and_is_returned(on: &On) {
    on.run(|io| {
        let canceled = AtomicUsize::new(0);
        let result: Result<(), io::Error> = io.group(|group| {
            for _ in 0..3 {
                // Tear-down affects every cancellation point, not only the next one.
                drop(concurrently(group, |io| {
                    let count = (0..3).filter(|_| io.sleep(LONG).is_err()).count();
                    canceled.fetch_add(count, Ordering::Relaxed);
                }));
            }
            Err(io::Error::other("the body's"))
        });
        assert_eq!(result.expect_err("the body's").to_string(), "the body's");
        assert_eq!(canceled.into_inner(), 9);
    });
}

fn a_panic_of_the_body_cancels_the_members_and_is_resumed(on: &On) {
    on.run(|io| {
        let canceled = AtomicUsize::new(0);
        let text = panic_of(|| {
            scope(io, |group| {
                drop(concurrently(group, |io| {
                    let count = (0..3).filter(|_| io.sleep(LONG).is_err()).count();
                    canceled.fetch_add(count, Ordering::Relaxed);
                }));
                panic_quietly("of the body")
            })
        });
        assert_eq!((text.as_str(), canceled.into_inner()), ("of the body", 3));
    });
}

fn a_panic_without_a_handle_cancels_the_siblings_and_is_the_groups(on: &On) {
    on.run(|io| {
        let canceled = AtomicUsize::new(0);
        let text = panic_of(|| {
            scope(io, |group| {
                drop(concurrently(group, |io| {
                    let count = (0..3).filter(|_| io.sleep(LONG).is_err()).count();
                    canceled.fetch_add(count, Ordering::Relaxed);
                }));
                drop(concurrently(group, |_| panic_quietly("of a member")));
            });
        });
        assert_eq!((text.as_str(), canceled.into_inner()), ("of a member", 3));
    });
}

fn who_would_wait_for_its_own_end_panics(on: &On) {
    type Waits = fn(&OwnedGroup, &dyn Io);
    let all: [(&str, Waits); 3] = [
        ("wait", |group, io| _ = group.wait(io)),
        ("cancel", |group, io| group.cancel(io)),
        ("abort", |group, io| group.abort(io)),
    ];
    on.async_limit(0).run(|io| {
        let group = Arc::new(OwnedGroup::new(io.handle().expect("a runtime's")));
        for (name, waits) in all {
            let own = group.clone();
            let told = group.spawn_concurrent(move |io| panic_of(|| waits(&own, io))).expect("started").join(io);
            assert!(told.contains("the group that it is a member of"), "{name}: {told}");
            // The task runs on top of another one: there is no unit for it.
            let own = group.clone();
            let on_top = move |io: &dyn Io| io.spawn_async(move |io| panic_of(|| waits(&own, io))).join(io);
            let told = group.spawn_concurrent(on_top).expect("started").join(io);
            assert!(told.contains("the group that it is a member of"), "{name}: {told}");
        }
        let (sender, receiver) = channel::<Task<()>>(1);
        let (told, hears) = channel(1);
        let task = io.spawn_concurrent(move |io| {
            let own = receiver.recv(io).expect("sent");
            told.try_send(panic_of(|| own.join(io))).expect("room");
        });
        sender.send(io, task.expect("started")).expect("received");
        let told = hears.recv(io).expect("told");
        assert!(told.contains("joins itself"), "{told}");
    });
}

fn a_member_ends_its_group_without_waiting(on: &On) {
    on.run(|io| {
        let group = Arc::new(OwnedGroup::new(io.handle().expect("a runtime's")));
        for abort in [false, true] {
            let sibling = group.spawn_concurrent(|io| io.sleep(LONG).is_err()).expect("started");
            let own = group.clone();
            let member = group.spawn_concurrent(move |io| {
                if abort {
                    own.request_abort();
                } else {
                    own.request_cancel();
                }
                io.sleep(LONG).is_err()
            });
            assert!(member.expect("started").join(io), "it is asked to stop as well");
            assert!(sibling.join(io), "asked to stop");
            group.wait(io).expect("not canceled");
        }
        let later = group.spawn_concurrent(|io| io.check_cancel().is_err()).expect("started");
        assert!(later.join(io), "what is started after an abort is torn down, too");
    });
}

fn a_panic_with_a_handle_is_resumed_at_its_join_alone(on: &On) {
    on.run(|io| {
        let go = Event::new();
        scope(io, |group| {
            let sibling = concurrently(group, |io| go.wait(io));
            let member = concurrently(group, |_| panic_quietly("of a member"));
            assert_eq!(panic_of(|| member.join(io)), "of a member");
            go.set();
            sibling.join(io).expect("the sibling was not canceled");
        });
    });
}

/// The panic is reported, whether the handle is dropped before or after it.
fn a_panic_is_told_whenever_its_handle_is_dropped(on: &On) {
    on.run(|io| {
        for round in 0..200 {
            let text = panic_of(|| {
                scope(io, |group| {
                    let member = concurrently(group, |_| panic_quietly("of a member"));
                    (0..round % 5).for_each(|_| io.yield_now());
                    drop(member);
                });
            });
            assert_eq!(text, "of a member");
        }
    });
}

fn wait_resumes_the_panic_and_the_group_can_be_used_again(on: &On) {
    on.run(|io| {
        scope(io, |group| {
            drop(concurrently(group, |_| panic_quietly("of a member")));
            assert_eq!(panic_of(|| group.wait(io)), "of a member");
            let go = concurrently(group, |io| io.check_cancel());
            go.join(io).expect("a new member is not torn down");
        });
    });
}

fn members_may_be_started_while_the_group_is_waited_for(on: &On) {
    on.run(|io| {
        let count = AtomicUsize::new(0);
        let count = &count;
        scope(io, |group| {
            drop(concurrently(group, move |io| {
                for _ in 0..3 {
                    io.yield_now();
                    drop(group.spawn_async(move |io| {
                        io.yield_now();
                        drop(group.spawn_async(move |_| count.fetch_add(1, Ordering::Relaxed)));
                        count.fetch_add(1, Ordering::Relaxed);
                    }));
                }
            }));
            group.wait(io).expect("not canceled");
            assert_eq!(count.load(Ordering::Relaxed), 6);
        });
    });
}

fn a_group_can_be_used_again_after_waiting(on: &On) {
    on.run(|io| {
        let count = AtomicUsize::new(0);
        scope(io, |group| {
            for round in 1..=100 {
                drop(group.spawn_async(|_| count.fetch_add(1, Ordering::Relaxed)));
                drop(concurrently(group, |_| count.fetch_add(1, Ordering::Relaxed)));
                group.wait(io).expect("not canceled");
                assert_eq!((count.load(Ordering::Relaxed), group.len()), (2 * round, 0));
            }
        });
    });
}

fn groups_nest_and_an_inner_error_is_the_inner_groups(on: &On) {
    on.run(|io| {
        let go = Event::new();
        scope(io, |outer| {
            let outer_member = concurrently(outer, |io| go.wait(io));
            let inner: Result<(), io::Error> = io.group(|inner| {
                drop(concurrently(inner, |io| io.sleep(LONG).expect_err("canceled by the inner group")));
                Err(io::Error::other("inner"))
            });
            assert_eq!(inner.expect_err("the inner body's").to_string(), "inner");
            go.set();
            outer_member.join(io).expect("the outer member goes on");
        });
    });
}

fn members_have_groups_of_their_own(on: &On) {
    fn count(io: &dyn Io, depth: u32) -> u32 {
        if depth == 0 {
            return 1;
        }
        scope(io, |group| {
            let (left, right) = (concurrently(group, |io| count(io, depth - 1)), count(io, depth - 1));
            left.join(io) + right
        })
    }
    on.run(|io| assert_eq!(count(io, 4), 16));
}

fn several_may_wait_for_one_group(on: &On) {
    on.run(|io| {
        let group = Arc::new(OwnedGroup::new(io.handle().expect("a backend has a handle")));
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        drop(group.spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("concurrent"));
        scope(io, |waiters| {
            let waiters: Vec<_> = (0..4).map(|_| concurrently(waiters, |io| group.wait(io))).collect();
            go.set();
            waiters.into_iter().for_each(|waiter| waiter.join(io).expect("not canceled"));
        });
    });
}

fn an_owned_group_waits_cancels_and_counts(on: &On) {
    on.run(|io| {
        let group = OwnedGroup::new(io.handle().expect("a backend has a handle"));
        let member = group.spawn_async(|_| 1);
        let waited = group.spawn_waiting(|_| 2).expect("waiting");
        group.wait(io).expect("not canceled");
        assert_eq!((member.join(io), waited.join(io), group.is_empty()), (1, 2, true));

        let sleepers = [(); 3].map(|()| group.spawn_concurrent(|io| io.sleep(LONG)).expect("concurrent"));
        assert_eq!(group.len(), 3);
        group.cancel(io);
        assert_eq!(group.len(), 0);
        sleepers.into_iter().for_each(|sleeper| drop(sleeper.join(io).expect_err("canceled")));
        group.spawn_async(|io| io.check_cancel()).join(io).expect("usable after the cancel");
    });
}

fn dropping_an_owned_group_tears_its_members_down_and_does_not_wait(on: &On) {
    on.run(|io| {
        let go = Arc::new(Event::new());
        let group = OwnedGroup::new(io.handle().expect("a backend has a handle"));
        let theirs = go.clone();
        let member = group.spawn_concurrent(move |io| {
            theirs.wait_uncancelable(io);
            (0..4).filter(|_| io.sleep(LONG).is_err()).count()
        });
        drop(group);
        // If the drop had waited, this line would not be reached.
        go.set();
        assert_eq!(member.expect("concurrent").join(io), 4, "at every point");
    });
}

fn dropping_a_member_does_nothing(on: &On) {
    on.run(|io| {
        let (go, waited) = (Event::new(), AtomicUsize::new(0));
        scope(io, |group| {
            for _ in 0..3 {
                drop(concurrently(group, |io| {
                    go.wait(io).expect("not canceled");
                    waited.fetch_add(1, Ordering::Relaxed);
                }));
            }
            go.set();
        });
        assert_eq!(waited.into_inner(), 3);
    });
}
