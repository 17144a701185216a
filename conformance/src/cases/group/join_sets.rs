//! Tasks whose results are returned as they finish.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{Canceled, Io, JoinSet, SpawnErrorKind, WaitError};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, panic_of, panic_quietly, rounds, scope};

pub(crate) const CASES: &[Case] = cases![
    results_come_in_the_order_of_the_ends,
    without_a_task_there_is_nothing_to_wait_for,
    tasks_may_be_started_between_results,
    many_come_when_there_are_enough,
    inline_tasks_have_results,
    a_refused_closure_comes_back,
    cancel_returns_every_result,
    a_canceled_wait_takes_nothing,
    an_error_of_the_body_stops_the_tasks,
    a_panic_ends_the_select,
    several_take_results,
];

const LONG: Duration = Duration::from_secs(3600);

/// Runs a join set whose body does not fail.
fn join_set<'env, T: Send + 'env, R>(
    io: &'env (dyn Io + 'env),
    body: impl for<'scope> FnOnce(&'scope JoinSet<'scope, 'env, T>) -> R,
) -> R {
    io.join_set(|set| Ok::<R, Canceled>(body(set))).expect("the body does not fail")
}

fn results_come_in_the_order_of_the_ends(on: &On) {
    on.run(|io| {
        let gates: [Event; 3] = Default::default();
        join_set(io, |set| {
            for (number, gate) in gates.iter().enumerate() {
                let task = move |io: &dyn Io| {
                    gate.wait_uncancelable(io);
                    number
                };
                set.spawn_concurrent(task).expect("concurrent");
            }
            for number in [2, 0, 1] {
                assert_eq!(set.try_next(), None);
                gates[number].set();
                assert_eq!(set.next(io).expect("nobody stops it"), Some(number));
            }
            assert_eq!(set.next(io).expect("nobody stops it"), None, "nothing runs");
            assert!(set.is_empty());
        });
    });
}

fn without_a_task_there_is_nothing_to_wait_for(on: &On) {
    on.run(|io| {
        join_set(io, |set: &JoinSet<'_, '_, ()>| {
            assert_eq!(set.next(io).expect("nobody stops it"), None);
            assert_eq!(set.next_many(io, 3).expect("nobody stops it"), []);
            assert_eq!(set.cancel(io), []);
        });
    });
}

fn tasks_may_be_started_between_results(on: &On) {
    on.run(|io| {
        let sum = join_set(io, |set| {
            set.spawn_async(|_| 10_usize);
            let mut sum = 0;
            while let Some(number) = set.next(io).expect("nobody stops it") {
                sum += number;
                if number > 0 {
                    set.spawn_waiting(move |_| number - 1).expect("a slot gets free");
                }
            }
            sum
        });
        assert_eq!(sum, 55);
    });
}

fn many_come_when_there_are_enough(on: &On) {
    on.run(|io| {
        join_set(io, |set| {
            for number in 0..5 {
                set.spawn_concurrent(move |_| number).expect("concurrent");
            }
            let mut all = set.next_many(io, 2).expect("nobody stops it");
            assert!(all.len() >= 2);
            while all.len() < 5 {
                all.extend(set.next_many(io, 1).expect("nobody stops it"));
            }
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4]);
            assert_eq!(set.next_many(io, 1).expect("nobody stops it"), [], "nothing runs");
        });
    });
}

/// Everything runs inline: a join set needs no concurrency.
fn inline_tasks_have_results(on: &On) {
    let on = &on.async_limit(0);
    on.run(|io| {
        join_set(io, |set| {
            (0..3).for_each(|number| set.spawn_async(move |_| number));
            assert_eq!(set.next_many(io, 2).expect("nobody stops it"), [0, 1, 2]);
        });
    });
}

fn a_refused_closure_comes_back(on: &On) {
    let on = &on.concurrent_limit(0);
    on.on_thread(|io| {
        join_set(io, |set| {
            let refused = set.spawn_concurrent(|_| 1).expect_err("no unit of concurrency");
            assert!(matches!(refused.kind, SpawnErrorKind::ConcurrencyUnavailable(_)));
            assert_eq!((refused.closure)(io), 1);
            assert_eq!(set.next(io).expect("nobody stops it"), None, "it is not waited for");
        });
    });
}

fn cancel_returns_every_result(on: &On) {
    on.run(|io| {
        join_set(io, |set| {
            set.spawn_concurrent(|_| Ok(1)).expect("concurrent");
            for _ in 0..3 {
                set.spawn_concurrent(|io| io.sleep(LONG).map(|()| 2)).expect("concurrent");
            }
            let results = set.cancel(io);
            assert_eq!(results.len(), 4);
            assert_eq!(results.iter().filter(|result| matches!(result, Ok(1))).count(), 1);
            assert_eq!(results.iter().filter(|result| result.is_err()).count(), 3);
            // The set can be used again.
            set.spawn_concurrent(|io| io.check_cancel().map(|()| 3)).expect("concurrent");
            assert_eq!(set.next(io).expect("nobody stops it").map(Result::ok), Some(Some(3)));
        });
    });
}

fn a_canceled_wait_takes_nothing(on: &On) {
    on.run(|io| {
        join_set(io, |set| {
            set.spawn_concurrent(|io| io.sleep(LONG).is_err()).expect("concurrent");
            scope(io, |group| {
                let waiter = concurrently(group, |io| set.next(io));
                waiter.cancel(io).map(|_| ()).expect_canceled("it waits, or has not begun");
            });
            let timed_out = io.timeout(Duration::from_millis(1), |io| set.next(io)).expect_err("it sleeps");
            assert!(matches!(timed_out, WaitError::TimedOut(_)));
            assert_eq!(set.cancel(io), [true]);
        });
    });
}

/// An error of the scope tears the tasks down, and their results are dropped.
fn an_error_of_the_body_stops_the_tasks(on: &On) {
    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    on.run(|io| {
        let dropped = AtomicUsize::new(0);
        let result: Result<(), &str> = io.join_set(|set| {
            for _ in 0..3 {
                let task = |io: &dyn Io| {
                    let _ = io.sleep(LONG);
                    Counted(&dropped)
                };
                set.spawn_concurrent(task).expect("concurrent");
            }
            Err("the body's")
        });
        assert_eq!(result, Err("the body's"));
        assert_eq!(dropped.into_inner(), 3);
    });
}

fn a_panic_ends_the_select(on: &On) {
    on.run(|io| {
        let panic = panic_of(|| {
            join_set(io, |set: &JoinSet<'_, '_, ()>| {
                set.spawn_concurrent(|_| panic_quietly("a task's")).expect("concurrent");
                set.spawn_concurrent(|io| assert!(io.sleep(LONG).is_err())).expect("concurrent");
                // The calls return `Canceled` once the set has failed.
                while let Ok(Some(())) = set.next(io) {}
            });
        });
        assert_eq!(panic, "a task's");
    });
}

/// Each result is taken once, whoever asks.
fn several_take_results(on: &On) {
    on.run(|io| {
        for _ in 0..rounds(50) {
            join_set(io, |set| {
                (0..20).for_each(|number| set.spawn_async(move |_| 1_usize << number));
                let all: usize = scope(io, |group| {
                    let take = |io: &dyn Io| {
                        let mut sum = 0;
                        while let Some(number) = set.next(io).expect("nobody stops it") {
                            sum += number;
                        }
                        sum
                    };
                    let takers: Vec<_> = (0..3).map(|_| concurrently(group, take)).collect();
                    takers.into_iter().map(|taker| taker.join(io)).sum()
                });
                assert_eq!(all, (1 << 20) - 1);
            });
        }
    });
}
