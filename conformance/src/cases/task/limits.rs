//! Limits: calls that wait, calls that fail, and what is returned.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{SpawnErrorKind, TimedOut};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, panic_of, panic_quietly, rounds, scope, started};

const SHORT: Duration = Duration::from_millis(2);

pub(crate) const CASES: &[Case] = cases![
    the_concurrent_limit_is_named_in_the_error,
    the_highest_limits_are_none,
    without_slots_nobody_waits_for_one,
    a_refused_closure_comes_back_whole,
    a_refused_member_comes_back_whole_and_is_not_waited_for,
    the_two_limits_are_counted_independently,
    a_slot_is_free_again_when_its_task_was_joined,
    a_slot_is_free_again_after_a_panic_and_after_a_cancellation,
    a_slot_is_free_again_when_the_group_was_waited_for,
    spawn_waiting_waits_for_a_slot,
    spawn_waiting_passes_every_task_through_few_slots,
    several_may_wait_for_slots,
    spawn_waiting_is_canceled_and_hands_the_closure_back,
    a_timeout_around_spawn_waiting_gives_the_closure_back,
];

fn the_concurrent_limit_is_named_in_the_error(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let first = io.spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("one is free");
        let error = io.spawn_concurrent(|_| ()).expect_err("none is free");
        let text = error.to_string();
        assert!(text.contains("concurrent_limit") && text.contains('1'), "{text}");
        let SpawnErrorKind::ConcurrencyUnavailable(error) = error.kind else { panic!("{text}") };
        assert_eq!((error.limit(), error.value()), ("concurrent_limit", 1));
        go.set();
        first.join(io);
    });
}

fn the_highest_limits_are_none(on: &On) {
    on.async_limit(usize::MAX).concurrent_limit(usize::MAX).on_thread(|io| {
        assert_eq!(io.spawn_async(|_| 1).join(io), 1);
        assert_eq!(io.spawn_concurrent(|_| 2).expect("there is no limit").join(io), 2);
        assert_eq!(io.spawn_waiting(|_| 3).expect("there is no limit").join(io), 3);
    });
}

/// Nobody could ever free a slot.
fn without_slots_nobody_waits_for_one(on: &On) {
    on.concurrent_limit(0).on_thread(|io| {
        let error = io.spawn_waiting(|_| "mine").expect_err("there is none");
        assert!(error.to_string().contains("concurrent_limit"), "{error}");
        assert_eq!((error.closure)(io), "mine");
    });
}

fn a_refused_closure_comes_back_whole(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let first = io.spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("one is free");
        let precious = Arc::new("an accepted socket");
        let held = precious.clone();
        let error = io.spawn_concurrent(move |_| held).expect_err("none is free");
        assert_eq!(Arc::strong_count(&precious), 2, "it is in the error");
        assert_eq!(*(error.closure)(io), "an accepted socket");
        assert_eq!(Arc::strong_count(&precious), 1);
        go.set();
        first.join(io);
    });
}

fn a_refused_member_comes_back_whole_and_is_not_waited_for(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let go = Event::new();
        scope(io, |group| {
            let first = group.spawn_concurrent(|io| go.wait_uncancelable(io)).expect("one is free");
            let error = group.spawn_concurrent(|_| 5).expect_err("none is free");
            assert_eq!(group.len(), 1);
            assert_eq!((error.closure)(io), 5);
            go.set();
            first.join(io);
        });
    });
}

fn the_two_limits_are_counted_independently(on: &On) {
    on.async_limit(1).concurrent_limit(3).on_thread(|io| {
        let (go, started) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let concurrent: Vec<_> = (0..3)
            .map(|_| {
                let go = go.clone();
                io.spawn_concurrent(move |io| go.wait_uncancelable(io)).expect("three are free")
            })
            .collect();
        // If this task ran inline, it would wait for something that comes after it.
        let (theirs, start) = (go.clone(), started.clone());
        let other = io.spawn_async(move |io| {
            start.set();
            theirs.wait_uncancelable(io);
        });
        started.wait_uncancelable(io);
        go.set();
        other.join(io);
        concurrent.into_iter().for_each(|task| task.join(io));

        // The other way round, a busy async unit takes none of the concurrent ones.
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let other = io.spawn_async(move |io| theirs.wait_uncancelable(io));
        let tasks: Vec<_> = (0..3).map(|_| io.spawn_concurrent(|_| ()).expect("three are free")).collect();
        tasks.into_iter().for_each(|task| task.join(io));
        go.set();
        other.join(io);
    });
}

fn a_slot_is_free_again_when_its_task_was_joined(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        for round in 0..rounds(1_000) {
            let task = io.spawn_concurrent(move |_| round);
            let task = task.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(task.join(io), round);
        }
    });
}

fn a_slot_is_free_again_after_a_panic_and_after_a_cancellation(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        for round in 0..50 {
            let task = io.spawn_concurrent(|_| panic_quietly("deliberate")).unwrap_or_else(|error| panic!("{error}"));
            panic_of(|| task.join(io));
            let waiting = Event::new();
            let task = io.spawn_concurrent(move |io| waiting.wait(io));
            task.unwrap_or_else(|error| panic!("round {round}: {error}")).cancel(io).expect_canceled("canceled");
        }
    });
}

fn a_slot_is_free_again_when_the_group_was_waited_for(on: &On) {
    on.concurrent_limit(2).on_thread(|io| {
        for round in 0..200 {
            scope(io, |group| {
                for _ in 0..2 {
                    drop(group.spawn_concurrent(|_| ()).unwrap_or_else(|error| panic!("round {round}: {error}")));
                }
            });
        }
    });
}

fn spawn_waiting_waits_for_a_slot(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let first = io.spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("one is free");
        thread::scope(|scope| {
            let second = scope.spawn(|| io.spawn_waiting(|_| 2).expect("a slot, in the end").join(io));
            assert!(!second.is_finished());
            go.set();
            first.join(io);
            assert_eq!(second.join().expect("no panic"), 2);
        });
    });
}

fn spawn_waiting_passes_every_task_through_few_slots(on: &On) {
    on.concurrent_limit(3).on_thread(|io| {
        let tasks: Vec<_> = (0..1_000_u64)
            .map(|number| {
                io.spawn_waiting(move |io| {
                    io.yield_now();
                    number
                })
            })
            .collect();
        let sum: u64 = tasks.into_iter().map(|task| task.expect("started").join(io)).sum();
        assert_eq!(sum, 499_500);
    });
}

fn several_may_wait_for_slots(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let spawner = |number: u64| {
            io.spawn_thread("spawner", move |io| {
                (0..100).map(|_| io.spawn_waiting(move |_| number).expect("started").join(io)).sum::<u64>()
            })
            .expect("thread")
        };
        let spawners: Vec<_> = (1..=4).map(spawner).collect();
        assert_eq!(spawners.into_iter().map(|task| task.join(io)).sum::<u64>(), 1_000);
    });
}

fn spawn_waiting_is_canceled_and_hands_the_closure_back(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let first = io.spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("one is free");
        let precious = Arc::new(());
        for _ in 0..100 {
            let held = precious.clone();
            let waiter = io.spawn_thread("waiter", move |io| {
                let error = io.spawn_waiting(move |_| held).expect_err("no slot, but a request");
                assert!(matches!(error.kind, SpawnErrorKind::Canceled(_)), "{error}");
                io.check_cancel().expect("delivered once");
                error.closure
            });
            let closure = waiter.expect("thread").cancel(io);
            drop(closure(io));
            assert_eq!(Arc::strong_count(&precious), 1);
        }
        go.set();
        first.join(io);
        // None of the canceled waiters has kept the slot.
        io.spawn_concurrent(|_| ()).expect("it is free").join(io);
    });
}

fn a_timeout_around_spawn_waiting_gives_the_closure_back(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let end = Event::new();
        scope(io, |group| {
            let _full = started(group, io, |io| end.wait_uncancelable(io));
            let mine = String::from("mine");
            let error = io.timeout(SHORT, |io| io.spawn_waiting(move |_| mine)).expect_err("no slot is free");
            assert!(matches!(error.kind, SpawnErrorKind::TimedOut(TimedOut)), "{error}");
            assert_eq!((error.closure)(io), "mine");
            end.set();
        });
    });
}
