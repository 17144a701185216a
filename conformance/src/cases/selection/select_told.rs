//! Groups, results and completions among several things to wait for: all waiters are notified, and one takes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::{Event, Semaphore};
use iolite_io::{
    Canceled, Io, JoinSet, OwnedGroup,
    completion::{Completion, CompletionKind, CompletionQueue},
    select::{OneOf2, OneOf3, OneOf4, Selectable},
};

use super::select_races::{crowd, impatiently};
use crate::On;
use crate::case::{Case, cases, pairs};
use crate::tools::{
    ExpectCanceled, Race, Random, attempt, concurrently, panic_of, panic_quietly, rounds, scope, started, until,
};

pub(crate) const CASES: &[Case] = cases![
    a_group_without_members_is_there,
    the_end_of_the_last_member_is_told_to_all,
    a_group_that_is_used_again_is_waited_for_again,
    a_canceled_wait_for_a_group_leaves_its_members,
    a_failure_cancels_the_wait_for_its_group,
    results_are_a_source_until_no_task_runs,
    every_result_is_accounted_for,
    completions_are_a_source,
    timers_of_a_queue_are_deadlines,
    a_panic_of_an_operation_comes_out_of_the_wait,
    a_completion_is_taken_or_still_there,
];

pub(crate) const PAIRS: &[Case] = pairs![every_completion_is_accounted_for(1), every_completion_is_accounted_for(2)];

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(3600);

/// Waits for `source` in a way that others can see with [`waits`].
fn wait_seen<S: Selectable>(io: &dyn Io, seen: &Semaphore, source: S) -> Result<S::Output, Canceled> {
    Ok(match io.select((source, seen.on_acquire_many(2)))? {
        OneOf2::First(output) => output,
        OneOf2::Second(_) => unreachable!("there is one permit"),
    })
}

/// Returns when a task is in [`wait_seen`] and has checked its source. `seen` has one permit.
fn waits(io: &dyn Io, seen: &Semaphore) {
    // No task gets ahead of one that waits for two permits.
    until(io, || seen.try_acquire().is_none());
}

fn a_group_without_members_is_there(on: &On) {
    on.run(|io| {
        let (set, owned) = (Event::new(), OwnedGroup::new(io.handle().expect("a backend has one")));
        set.set();
        scope(io, |group| {
            let one = io.select((group.on_finish(), set.on_wait())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
            let one = io.select((owned.on_finish(), set.on_wait())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
            let gate = &Event::new();
            drop(concurrently(group, |_| ()));
            group.wait(io).expect("not canceled");
            let one = io.select((gate.on_wait(), group.on_finish())).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())));
        });
    });
}

fn the_end_of_the_last_member_is_told_to_all(on: &On) {
    on.run(|io| {
        let (gates, seen) = ([Event::new(), Event::new()], [(); 3].map(|()| Semaphore::new(1)));
        scope(io, |group| {
            for gate in &gates {
                drop(concurrently(group, |io| gate.wait_uncancelable(io)));
            }
            scope(io, |waiters| {
                for seen in &seen {
                    drop(concurrently(waiters, |io| wait_seen(io, seen, group.on_finish()).expect("not canceled")));
                }
                seen.iter().for_each(|seen| waits(io, seen));
                gates[0].set();
                until(io, || group.len() == 1);
                assert_eq!(waiters.len(), 3, "one goes on");
                gates[1].set();
                waiters.wait(io).expect("not canceled");
                assert!(group.is_empty());
            });
        });
    });
}

/// If the waiter checks only after the group has a member again, it waits for the end of that member.
fn a_group_that_is_used_again_is_waited_for_again(on: &On) {
    on.executors(1).async_limit(0).run(|io| {
        let (first, second, seen) = (Event::new(), Event::new(), Semaphore::new(1));
        scope(io, |group| {
            scope(io, |waiters| {
                let waiter = concurrently(waiters, |io| {
                    first.wait_uncancelable(io);
                    wait_seen(io, &seen, group.on_finish()).expect("not canceled");
                });
                // It runs inline: from its end to the start of the next member, no other task runs on this thread.
                let member = group.spawn_async(|io| {
                    first.set();
                    waits(io, &seen);
                });
                drop(concurrently(group, |io| second.wait_uncancelable(io)));
                member.join(io);
                second.set();
                waiter.join(io);
            });
        });
    });
}

fn a_canceled_wait_for_a_group_leaves_its_members(on: &On) {
    on.run(|io| {
        let gate = Event::new();
        scope(io, |group| {
            let member = concurrently(group, |io| gate.wait(io));
            scope(io, |waiters| {
                let waiter = started(waiters, io, |io| io.select((group.on_finish(), io.now() + LONG)).map(drop));
                waiter.cancel(io).expect_canceled("the group has a member");
            });
            let one = io.select((group.on_finish(), io.now() + SHORT)).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())));
            gate.set();
            member.join(io).expect("nobody has canceled it");
        });
    });
}

fn a_failure_cancels_the_wait_for_its_group(on: &On) {
    on.run(|io| {
        let (gate, never) = (Event::new(), Event::new());
        let result = io.try_group(|group| {
            group.spawn_concurrent(|io| {
                gate.wait_uncancelable(io);
                Ok(())
            })?;
            group.spawn_concurrent(|_| Err::<(), _>(io::Error::other("it fails")))?;
            let waited = io.select((never.on_wait(), group.on_finish()));
            gate.set();
            waited.expect_canceled("a member goes on");
            let one = io.select((group.on_finish(), never.on_wait()));
            one.expect_canceled("the failure is there for all that the body waits for");
            Ok(())
        });
        assert_eq!(result.expect_err("a member has failed").to_string(), "it fails");
    });
}

fn results_are_a_source_until_no_task_runs(on: &On) {
    on.run(|io| {
        let (event, gate) = (Event::new(), Event::new());
        event.set();
        io.join_set(|set| {
            set.spawn_concurrent(|_| 1)?;
            let one = io.select((set.on_next(), io.now() + LONG))?;
            assert!(matches!(one, OneOf2::First(Some(1))));

            set.spawn_concurrent(|io| {
                gate.wait_uncancelable(io);
                2
            })?;
            let one = io.select((set.on_next(), io.now() + SHORT))?;
            assert!(matches!(one, OneOf2::Second(())));
            gate.set();
            until(io, || set.running() == 0);
            let one = io.select((event.on_wait(), set.on_next()))?;
            assert!(matches!(one, OneOf2::First(())));
            assert_eq!(set.try_next(), Some(2), "what lost is left");

            for _ in 0..2 {
                let one = io.select((io.now() + LONG, set.on_next()))?;
                assert!(matches!(one, OneOf2::Second(None)), "no task runs");
            }
            io::Result::Ok(())
        })
        .expect("units for all");
    });
}

/// Several tasks take results: each result goes to one of them, and all learn of the end.
fn every_result_is_accounted_for(on: &On) {
    on.concurrent_limit(16).run(|io| {
        let (mut random, count) = (Random::new("every result"), rounds(1_000));
        let taken: Vec<_> = (0..=count).map(|_| AtomicUsize::new(0)).collect();
        let (last, permits) = (Event::new(), Semaphore::new(1));
        let take = |io: &dyn Io, results: &JoinSet<'_, '_, usize>, mut random: Random| {
            loop {
                match impatiently(io, &mut random, (results.on_next(), permits.on_acquire())) {
                    Some(OneOf2::First(Some(number))) => drop(taken[number].fetch_add(1, Ordering::SeqCst)),
                    Some(OneOf2::First(None)) => return,
                    Some(OneOf2::Second(_permit)) => io.yield_now(),
                    None => {}
                }
            }
        };
        io.join_set(|results| {
            // It runs while there are results to come.
            results.spawn_concurrent(|io| {
                last.wait_uncancelable(io);
                count
            })?;
            scope(io, |takers| {
                let takers = [(); 3].map(|()| {
                    let (take, random) = (&take, random.fork());
                    concurrently(takers, move |io| take(io, results, random))
                });
                for number in 0..count {
                    results.spawn_waiting(move |_| number).expect("a unit comes to be free");
                    takers[random.below(3) as usize].request_cancel();
                }
                last.set();
            });
            io::Result::Ok(())
        })
        .expect("units for all");
        let wrong = taken.iter().filter(|count| count.load(Ordering::SeqCst) != 1).count();
        assert_eq!(wrong, 0, "results that were not taken exactly once");
        assert_eq!(permits.available(), 1);
    });
}

fn queue<T: Send + 'static, R: Send + 'static>(io: &dyn Io) -> CompletionQueue<T, R> {
    CompletionQueue::new(io.handle().expect("a backend has one"))
}

fn completions_are_a_source(on: &On) {
    on.run(|io| {
        let (queue, set, gate) = (queue(io), Event::new(), Arc::new(Event::new()));
        set.set();
        let operation = |gate: Arc<Event>| move |io: &dyn Io| gate.wait_uncancelable(io);
        let first = queue.submit(1, operation(gate.clone())).expect("concurrent");
        let one = io.select((queue.on_wait(), io.now() + SHORT)).expect("not canceled");
        assert!(matches!(one, OneOf2::Second(())));
        let seen = Semaphore::new(1);
        scope(io, |group| {
            let waiter = concurrently(group, |io| wait_seen(io, &seen, queue.on_wait()).expect("not canceled"));
            waits(io, &seen);
            gate.set();
            let Completion { id, tag, kind } = waiter.join(io);
            assert_eq!((id, tag, kind), (first, 1, CompletionKind::Operation(())));
        });
        queue.submit(2, operation(gate.clone())).expect("concurrent");
        queue.submit(3, operation(gate)).expect("concurrent");
        // Both have happened when their waits have ended without selecting them.
        let mut tags = Vec::new();
        while tags.len() < 2 {
            let one = io.select((set.on_wait(), queue.on_wait())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
            tags.extend(queue.poll().map(|completion| completion.tag));
            io.yield_now();
        }
        tags.sort_unstable();
        assert_eq!(tags, [2, 3], "what lost is left");
        assert!(queue.is_empty());
    });
}

fn timers_of_a_queue_are_deadlines(on: &On) {
    on.run(|io| {
        let (queue, never) = (queue::<_, ()>(io), Event::new());
        queue.timer(SHORT, 1);
        let one = io.select((never.on_wait(), queue.on_wait())).expect("not canceled");
        assert!(matches!(one, OneOf2::Second(Completion { tag: 1, kind: CompletionKind::Timer, .. })));

        // A timer is set in the meantime, before the one that the wait is for, which is canceled.
        let seen = Semaphore::new(1);
        let far = queue.timer(LONG, 2);
        scope(io, |group| {
            let waiter = concurrently(group, |io| wait_seen(io, &seen, queue.on_wait()).expect("not canceled"));
            waits(io, &seen);
            queue.timer(SHORT, 3);
            assert!(queue.cancel(far));
            assert_eq!(waiter.join(io).tag, 3);
        });

        // A canceled timer is no longer a deadline.
        let near = queue.timer(2 * SHORT, 4);
        scope(io, |group| {
            let deadline = io.now() + 4 * SHORT;
            let (queue, seen) = (&queue, &seen);
            let waiter = concurrently(group, move |io| io.select((queue.on_wait(), seen.on_acquire_many(2), deadline)));
            // It may have fired, and the waiter may have ended, before anybody could look.
            until(io, || seen.try_acquire().is_none() || waiter.is_finished());
            let was_there = queue.cancel(near);
            match waiter.join(io).expect("not canceled") {
                OneOf3::First(fired) => assert_eq!((fired.tag, was_there), (4, false)),
                OneOf3::Third(()) => assert!(was_there && queue.is_empty()),
                OneOf3::Second(_) => unreachable!("there is one permit"),
            }
        });
    });
}

fn a_panic_of_an_operation_comes_out_of_the_wait(on: &On) {
    on.run(|io| {
        let (queue, never) = (queue::<_, ()>(io), Event::new());
        queue.submit(1, |_| panic_quietly("it panics")).expect("concurrent");
        let text = panic_of(|| io.select((never.on_wait(), queue.on_wait())).map(drop));
        assert_eq!(text, "it panics");
        assert!(queue.is_empty());
    });
}

fn a_completion_is_taken_or_still_there(on: &On) {
    on.on_thread(|io| {
        let (queue, never, mut next) = (queue(io), Event::new(), 0);
        Race::new("one of many: a completion", 2_000).run(|start| {
            next += 1;
            let gate = Arc::new(Event::new());
            let theirs = gate.clone();
            queue
                .submit((), move |io| {
                    theirs.wait_uncancelable(io);
                    next
                })
                .expect("concurrent");
            let taken = attempt(
                io,
                start,
                |io| match io.select((never.on_wait(), queue.on_wait()))? {
                    OneOf2::Second(completion) => Ok(completion.kind),
                    OneOf2::First(()) => unreachable!("it is never set"),
                },
                || gate.set(),
            );
            let is_taken = taken.is_some();
            let kind = taken.unwrap_or_else(|| queue.wait(io).expect("not canceled").kind);
            assert_eq!(kind, CompletionKind::Operation(next));
            assert!(queue.is_empty());
            is_taken
        });
    });
}

/// Half of the crowd submits operations and sets timers, half takes completions, all with two queues.
fn every_completion_is_accounted_for(one: &On, other: &On, executors: usize) {
    crowd("every completion", &one.executors(executors), other, |crowd| {
        let per_task = rounds(500);
        let queues = crowd.runtimes().map(queue::<usize, usize>);
        let (left, permits) = (AtomicUsize::new(3 * per_task), Semaphore::new(1));
        let taken: Vec<_> = (0..3 * per_task).map(|_| AtomicUsize::new(0)).collect();
        crowd.run(|io, number, mut random| {
            if number % 2 == 0 {
                for number in (0..per_task).map(|index| number / 2 * per_task + index) {
                    let queue = &queues[random.below(2) as usize];
                    match queue.submit(number, move |_| number) {
                        Ok(_) if random.below(2) == 0 => {}
                        Ok(id) => _ = queue.cancel(id),
                        Err(_) => _ = queue.timer(Duration::from_micros(random.below(200)), number),
                    }
                    io.yield_now();
                }
                return;
            }
            while left.load(Ordering::SeqCst) > 0 {
                let (soon, [near, far]) = (io.now() + SHORT, &queues);
                let sources = (near.on_wait(), far.on_wait(), permits.on_acquire(), soon);
                let completion = match impatiently(io, &mut random, sources) {
                    Some(OneOf4::First(completion) | OneOf4::Second(completion)) => completion,
                    Some(OneOf4::Third(_permit)) => {
                        io.yield_now();
                        continue;
                    }
                    Some(OneOf4::Fourth(())) | None => continue,
                };
                if let CompletionKind::Operation(number) = completion.kind {
                    assert_eq!(number, completion.tag);
                }
                taken[completion.tag].fetch_add(1, Ordering::SeqCst);
                left.fetch_sub(1, Ordering::SeqCst);
            }
        });
        let wrong = taken.iter().filter(|count| count.load(Ordering::SeqCst) != 1).count();
        assert_eq!(wrong, 0, "completions that were not taken exactly once");
        assert!(queues.iter().all(CompletionQueue::is_empty));
    });
}
