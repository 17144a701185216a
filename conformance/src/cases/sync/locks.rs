//! Mutex, semaphore and event on one backend; `mixed` tests them on several at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::sync::{Event, Mutex, Semaphore};
use iolite_io::{Io, WaitError};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Random, concurrently, panic_of, panic_quietly, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    a_mutex_excludes_and_loses_no_update,
    a_mutex_may_be_held_over_blocking_calls,
    try_lock_tells_whether_it_is_free,
    a_panic_unlocks_and_poisons_nothing,
    a_canceled_lock_leaves_the_mutex_as_it_was,
    waiters_are_served_in_the_order_in_which_they_came,
    a_semaphore_counts_its_permits,
    a_semaphore_never_admits_more_than_its_permits,
    a_canceled_acquire_takes_no_permit,
    many_permits_are_taken_at_once_or_not_at_all,
    who_wants_many_is_not_overtaken(false),
    who_wants_many_is_not_overtaken(true),
    a_permit_goes_along_with_a_task,
    a_ledger_of_permits,
    an_event_lets_all_go_and_publishes,
    a_reset_by_who_was_let_go_stands,
    an_event_may_be_dropped_by_who_was_let_go,
    a_handshake_with_a_plain_thread,
    a_mutex_survives_cancellations_and_timeouts,
];

fn a_mutex_excludes_and_loses_no_update(on: &On) {
    on.run(|io| {
        let counter = Mutex::new(0_usize);
        let counter_ref = &counter;
        let count = rounds(500);
        scope(io, |group| {
            for _ in 0..6 {
                drop(concurrently(group, move |io| {
                    for _ in 0..count {
                        let mut counter = counter_ref.lock(io).expect("not canceled");
                        let before = *counter;
                        io.yield_now();
                        *counter = before + 1;
                    }
                }));
            }
        });
        assert_eq!(counter.into_inner(), 6 * count);
    });
}

/// The guard may be held while the holder waits.
fn a_mutex_may_be_held_over_blocking_calls(on: &On) {
    on.run(|io| {
        let log = Mutex::new(Vec::new());
        scope(io, |group| {
            for number in 0..4 {
                let log = &log;
                drop(concurrently(group, move |io| {
                    let mut log = log.lock(io).expect("not canceled");
                    log.push(number);
                    io.sleep(Duration::from_millis(1)).expect("not canceled");
                    log.push(number);
                }));
            }
        });
        let log = log.into_inner();
        assert!(log.chunks(2).all(|pair| pair[0] == pair[1]), "{log:?}");
    });
}

fn try_lock_tells_whether_it_is_free(on: &On) {
    on.run(|io| {
        let mut mutex = Mutex::new(1);
        let held = mutex.try_lock().expect("free");
        assert!(mutex.try_lock().is_none());
        assert!(matches!(
            io.timeout_at(io.now() + Duration::from_millis(1), |io| mutex.lock(io)),
            Err(WaitError::TimedOut(_))
        ));
        drop(held);
        drop(mutex.lock(io).expect("free again"));
        drop(mutex.lock_uncancelable(io));
        *mutex.get_mut() += 1;
        assert_eq!(mutex.into_inner(), 2);
    });
}

fn a_panic_unlocks_and_poisons_nothing(on: &On) {
    on.run(|io| {
        let mutex = Mutex::new(1);
        scope(io, |group| {
            let member = concurrently(group, |io| {
                let _held = mutex.lock(io).expect("free");
                panic_quietly("deliberate");
            });
            assert_eq!(panic_of(|| member.join(io)), "deliberate");
        });
        assert_eq!(*mutex.lock(io).expect("free again"), 1);
    });
}

fn a_canceled_lock_leaves_the_mutex_as_it_was(on: &On) {
    on.run(|io| {
        let mutex = Mutex::new(());
        for _ in 0..50 {
            let held = mutex.try_lock().expect("free");
            scope(io, |group| {
                let mutex = &mutex;
                let canceled = started(group, io, |io| mutex.lock(io).map(drop));
                let waits = started(group, io, |io| mutex.lock(io).map(drop));
                canceled.cancel(io).expect_canceled("canceled");
                assert!(mutex.try_lock().is_none(), "still held");
                drop(held);
                waits.join(io).expect("it comes to the next");
            });
        }
        assert!(mutex.try_lock().is_some());
    });
}

/// On one executor, it is visible from outside that a task waits: a started task runs until it parks. All backends
/// share the queue.
fn waiters_are_served_in_the_order_in_which_they_came(on: &On) {
    if on.tasks_are_threads() {
        return on.not_run("nobody can tell when a thread begins to wait");
    }
    on.executors(1).in_task(|io| {
        let (semaphore, order) = (Semaphore::new(0), Mutex::new(Vec::new()));
        scope(io, |group| {
            for number in 0..6_usize {
                let (semaphore, order) = (&semaphore, &order);
                drop(started(group, io, move |io| {
                    semaphore.acquire(io).expect("not canceled").forget();
                    order.lock_uncancelable(io).push(number);
                }));
            }
            (0..6).for_each(|_| semaphore.add_permits(1));
        });
        assert_eq!(order.into_inner(), [0, 1, 2, 3, 4, 5]);
    });
}

fn a_semaphore_counts_its_permits(on: &On) {
    on.run(|io| {
        let semaphore = Semaphore::new(2);
        let first = semaphore.try_acquire().expect("two are free");
        let second = semaphore.acquire(io).expect("one is free");
        assert!(semaphore.try_acquire().is_none());
        let soon = io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon, |io| semaphore.acquire(io)), Err(WaitError::TimedOut(_))));
        drop(first);
        assert_eq!(semaphore.available(), 1);
        second.forget();
        assert_eq!(semaphore.available(), 1, "a forgotten permit stays taken");
        semaphore.add_permits(1);
        semaphore.add_permits(1);
        assert_eq!(semaphore.available(), 3, "one more than there were");
        drop(semaphore.acquire_uncancelable(io));
        assert_eq!(semaphore.available(), 3);
    });
}

fn a_semaphore_never_admits_more_than_its_permits(on: &On) {
    on.run(|io| {
        let (semaphore, inside, most) = (Semaphore::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        scope(io, |group| {
            for _ in 0..8 {
                drop(concurrently(group, |io| {
                    for _ in 0..50 {
                        let _permit = semaphore.acquire(io).expect("not canceled");
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        io.yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                }));
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(semaphore.available(), 3);
    });
}

fn a_canceled_acquire_takes_no_permit(on: &On) {
    on.run(|io| {
        let semaphore = Semaphore::new(0);
        for _ in 0..50 {
            scope(io, |group| {
                let member = concurrently(group, |io| semaphore.acquire(io).map(drop));
                member.cancel(io).expect_canceled("canceled");
            });
            semaphore.add_permits(1);
            assert_eq!(semaphore.available(), 1);
            semaphore.try_acquire().expect("free").forget();
        }
    });
}

fn many_permits_are_taken_at_once_or_not_at_all(on: &On) {
    on.run(|io| {
        let semaphore = Semaphore::new(5);
        let three = semaphore.acquire_many(io, 3).expect("not canceled");
        assert_eq!((three.count(), semaphore.available()), (3, 2));
        assert!(semaphore.try_acquire_many(3).is_none());
        let soon = io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon, |io| semaphore.acquire_many(io, 3)), Err(WaitError::TimedOut(_))));
        assert_eq!(semaphore.available(), 2, "none was taken");
        drop(semaphore.try_acquire_many(2).expect("two are free"));
        drop(three);
        drop(semaphore.acquire_many_uncancelable(io, 5));
        semaphore.add_permits(2);
        assert_eq!(semaphore.available(), 7);
        assert!(semaphore.try_acquire_many(0).is_some(), "nobody waits");
        assert!(panic_of(|| drop(semaphore.try_acquire_many(usize::MAX))).contains("permits"));
        assert!(panic_of(|| semaphore.add_permits(Semaphore::PERMITS_MAX)).contains("permits"));
        assert_eq!(semaphore.available(), 7);
    });
}

/// A task that borrows nothing keeps the permits with which it was started.
fn a_permit_goes_along_with_a_task(on: &On) {
    on.run(|io| {
        let semaphore = Arc::new(Semaphore::new(2));
        let running = Arc::new(AtomicUsize::new(0));
        let start = |_| {
            let permit = semaphore.acquire(io).expect("not canceled").into_owned(&semaphore);
            let running = running.clone();
            let work = move |io: &dyn Io| {
                let _permit = permit;
                assert!(running.fetch_add(1, Ordering::Relaxed) < 2, "more than there are permits");
                io.yield_now();
                running.fetch_sub(1, Ordering::Relaxed);
            };
            io.spawn_concurrent(work).expect("a unit is free")
        };
        let tasks: Vec<_> = (0..6).map(start).collect();
        tasks.into_iter().for_each(|task| task.join(io));
        assert_eq!(semaphore.available(), 2);

        let both = semaphore.acquire_many(io, 2).expect("not canceled").into_owned(&semaphore);
        assert_eq!((both.count(), semaphore.available()), (2, 0));
        both.forget();
        assert_eq!(semaphore.available(), 0);
        semaphore.add_permits(2);

        let other = Arc::new(Semaphore::new(0));
        let mistaken = || drop(semaphore.try_acquire().expect("free").into_owned(&other));
        assert_eq!(panic_of(mistaken), "a permit of another semaphore");
        assert_eq!((semaphore.available(), other.available()), (2, 0));
    });
}

/// A task that wants many permits waits at the front and is not overtaken; when it gives up, the tasks behind it get
/// theirs.
fn who_wants_many_is_not_overtaken(on: &On, canceled: bool) {
    on.run(|io| {
        let semaphore = Semaphore::new(3);
        let held = semaphore.acquire(io).expect("free");
        scope(io, |group| {
            let semaphore = &semaphore;
            let many = started(group, io, |io| semaphore.acquire_many(io, 3).map(drop));
            until(io, || semaphore.try_acquire().is_none());
            assert_eq!(semaphore.available(), 2, "free, but not for who comes later");
            let few = started(group, io, |io| semaphore.acquire(io).map(drop));
            if canceled {
                many.cancel(io).expect_canceled("three are not free");
                few.join(io).expect("two are");
                drop(held);
            } else {
                drop(held);
                many.join(io).expect("three are free");
                few.join(io).expect("they came back");
            }
        });
        assert_eq!(semaphore.available(), 3);
        assert!(semaphore.try_acquire().is_some(), "nobody waits any more");
    });
}

/// Tasks that want many permits are canceled and timed out at random: there are never more inside than permits, and all
/// permits return.
fn a_ledger_of_permits(on: &On) {
    const PERMITS: usize = 6;
    on.on_thread(|io| {
        let mut random = Random::new("ledger of permits");
        let (semaphore, taken) = (Semaphore::new(PERMITS), AtomicUsize::new(0));
        for _ in 0..rounds(100) {
            scope(io, |group| {
                let members: Vec<_> = (0..6)
                    .map(|_| {
                        let mut random = random.fork();
                        let (semaphore, taken) = (&semaphore, &taken);
                        started(group, io, move |io| {
                            for _ in 0..8 {
                                let count = random.below(PERMITS as u64 + 1) as usize;
                                let soon = io.now() + Duration::from_micros(random.below(60));
                                let permit = match random.below(3) {
                                    0 => semaphore.acquire_many(io, count).ok(),
                                    1 => io.timeout_at(soon, |io| semaphore.acquire_many(io, count)).ok(),
                                    _ => semaphore.try_acquire_many(count),
                                };
                                if let Some(permit) = permit {
                                    let inside = taken.fetch_add(count, Ordering::SeqCst) + count;
                                    assert!(inside <= PERMITS, "{inside} are out");
                                    io.yield_now();
                                    taken.fetch_sub(count, Ordering::SeqCst);
                                    drop(permit);
                                }
                            }
                        })
                    })
                    .collect();
                for _ in 0..6 {
                    members[random.below(6) as usize].request_cancel();
                    io.yield_now();
                }
            });
            assert_eq!(semaphore.available(), PERMITS);
            assert!(semaphore.try_acquire_many(PERMITS).is_some());
        }
    });
}

fn an_event_lets_all_go_and_publishes(on: &On) {
    on.run(|io| {
        let event = Event::new();
        let published = AtomicUsize::new(0);
        scope(io, |group| {
            // More than one batch of the implementation.
            let waiters: Vec<_> = (0..20)
                .map(|_| {
                    concurrently(group, |io| {
                        event.wait(io).expect("not canceled");
                        published.load(Ordering::Relaxed)
                    })
                })
                .collect();
            published.store(9, Ordering::Relaxed);
            event.set();
            waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join(io), 9));
        });
        assert!(event.is_set());
        event.wait(io).expect("set");
        event.reset();
        assert!(!event.is_set());
        assert!(matches!(
            io.timeout_at(io.now() + Duration::from_millis(1), |io| event.wait(io)),
            Err(WaitError::TimedOut(_)),
        ));
    });
}

/// The first task that is released resets the event while the setter is still waking the others. The others are
/// released too, and the reset stands.
fn a_reset_by_who_was_let_go_stands(on: &On) {
    let crowd = on.crowd();
    on.on_thread(|io| {
        for _ in 0..5 {
            let (event, was_reset) = (Event::new(), Event::new());
            let (arrived, let_go) = (AtomicUsize::new(0), AtomicUsize::new(0));
            scope(io, |group| {
                for _ in 0..crowd {
                    drop(concurrently(group, |io| {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        event.wait(io).expect("let go");
                        if let_go.fetch_add(1, Ordering::SeqCst) == 0 {
                            event.reset();
                            was_reset.set();
                        }
                    }));
                }
                while arrived.load(Ordering::SeqCst) < crowd {
                    io.yield_now();
                }
                // The last one to arrive may not have begun to wait.
                io.sleep(Duration::from_millis(20)).expect("not canceled");
                event.set();
                was_reset.wait_uncancelable(io);
                assert!(!event.is_set(), "set again after the reset");
                // Late tasks are released now.
                event.set();
            });
        }
    });
}

/// A released task may drop the event before `set` has returned.
fn an_event_may_be_dropped_by_who_was_let_go(on: &On) {
    on.run(|io| {
        for _ in 0..rounds(500) {
            let (sender, receiver) = iolite_io::sync::mpmc::channel::<Arc<Event>>(1);
            scope(io, |group| {
                let setter = concurrently(group, move |io| {
                    let event = receiver.recv(io).expect("sent");
                    event.set();
                });
                let event = Arc::new(Event::new());
                sender.try_send(event.clone()).expect("room");
                event.wait_uncancelable(io);
                drop(event);
                setter.join(io);
            });
        }
    });
}

/// The four steps of upstream's test, with a plain thread.
fn a_handshake_with_a_plain_thread(on: &On) {
    on.run(|io| {
        let steps = [const { Event::new() }; 4];
        thread::scope(|threads| {
            threads.spawn(|| {
                steps[0].wait_uncancelable(io);
                steps[1].set();
                steps[2].wait(io).expect("nobody cancels a plain thread");
                steps[3].set();
            });
            steps[0].set();
            steps[1].wait(io).expect("not canceled");
            steps[2].set();
            steps[3].wait(io).expect("not canceled");
        });
    });
}

/// Some tasks lock the mutex while others are canceled and timed out: in the end it is free, and the count is right.
fn a_mutex_survives_cancellations_and_timeouts(on: &On) {
    on.run(|io| {
        let (mutex, entered) = (Mutex::new(0_usize), AtomicUsize::new(0));
        for round in 0..rounds(100) {
            scope(io, |group| {
                let members: Vec<_> = (0..6)
                    .map(|number| {
                        let (mutex, entered) = (&mutex, &entered);
                        concurrently(group, move |io| {
                            let guard = match number % 3 {
                                0 => mutex.lock(io).ok(),
                                1 => io.timeout_at(io.now() + Duration::from_micros(20), |io| mutex.lock(io)).ok(),
                                _ => Some(mutex.lock_uncancelable(io)),
                            };
                            if let Some(mut guard) = guard {
                                *guard += 1;
                                io.yield_now();
                                entered.fetch_add(1, Ordering::Relaxed);
                            }
                        })
                    })
                    .collect();
                (0..round % 4).for_each(|_| io.yield_now());
                members.iter().for_each(|member| member.request_cancel());
            });
            assert!(mutex.try_lock().is_some(), "free after round {round}");
        }
        assert_eq!(mutex.into_inner(), entered.into_inner());
    });
}
