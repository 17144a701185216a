//! Locks, permits, items, ticks and tasks; and groups and contexts that are used from two sides at once.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::backend::current;
use iolite_io::sync::{Event, Notify, OnceLock, Queue, ReentrantMutex, RwLock, Semaphore, mpmc::unbounded, oneshot};
use iolite_io::{
    Canceled, Interval, Io, JoinSet, SpawnErrorKind,
    completion::{Batch, Buffers, Completion, CompletionKind, CompletionQueue},
    operation::{Operation, Output},
    select::OneOf2,
};

use super::ends::By;
use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, concurrently, scope, spin, started, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    a_reader_is_in_or_out(By::Request),
    a_reader_is_in_or_out(By::Timeout),
    a_reentrant_lock_is_taken_or_free(By::Request),
    a_reentrant_lock_is_taken_or_free(By::Timeout),
    many_permits_are_taken_or_all_there(By::Request),
    many_permits_are_taken_or_all_there(By::Timeout),
    a_notification_is_taken_or_kept(By::Request),
    a_notification_is_taken_or_kept(By::Timeout),
    a_cell_is_initialized_once(By::Request, true),
    a_cell_is_initialized_once(By::Request, false),
    a_cell_is_initialized_once(By::Timeout, true),
    a_cell_is_initialized_once(By::Timeout, false),
    an_item_is_received_or_still_there(By::Request, false),
    an_item_is_received_or_still_there(By::Request, true),
    an_item_is_received_or_still_there(By::Timeout, false),
    an_item_is_received_or_still_there(By::Timeout, true),
    items_are_put_or_come_back(By::Request, 1),
    items_are_put_or_come_back(By::Request, 2),
    items_are_put_or_come_back(By::Timeout, 1),
    items_are_put_or_come_back(By::Timeout, 2),
    a_result_is_taken_or_still_there(By::Request),
    a_result_is_taken_or_still_there(By::Timeout),
    an_operation_of_a_batch_completes_once(By::Request),
    an_operation_of_a_batch_completes_once(By::Timeout),
    an_end_comes_out_once(By::Request),
    an_end_comes_out_once(By::Timeout),
    an_operation_that_is_canceled_by_its_id_ends_once,
    a_tick_comes_or_is_still_due(By::Request),
    a_tick_comes_or_is_still_due(By::Timeout),
    a_task_has_finished_or_goes_on(By::Request),
    a_task_has_finished_or_goes_on(By::Timeout),
    a_slot_is_taken_or_free(By::Request),
    a_slot_is_taken_or_free(By::Timeout),
    a_task_that_starts_in_a_canceled_group_is_canceled(Spawn::Async),
    a_task_that_starts_in_a_canceled_group_is_canceled(Spawn::Concurrent),
    a_task_that_starts_in_a_canceled_group_is_canceled(Spawn::Waiting),
    a_context_that_parks_is_woken(false),
    a_context_that_parks_is_woken(true),
];

const LONG: Duration = Duration::from_secs(3600);

fn a_reader_is_in_or_out(on: &On, by: By) {
    on.on_thread(|io| {
        let lock = RwLock::new(7);
        Race::new("reader against the writer", 300).run(|start| {
            let writing = lock.try_write().expect("free between the rounds");
            let read = by.ends(io, start, |io| Ok(*lock.read(io)?), || drop(writing));
            assert!(read.is_none_or(|value| value == 7));
            read.is_some()
        });
    });
}

fn a_reentrant_lock_is_taken_or_free(on: &On, by: By) {
    on.on_thread(|io| {
        let lock = ReentrantMutex::new(());
        Race::new("reentrant lock", 300).run(|start| {
            let held = lock.try_lock().expect("free between the rounds");
            let twice = |io: &dyn Io| {
                let _once = lock.lock(io)?;
                assert!(lock.try_lock().is_some(), "its own");
                Ok(())
            };
            by.ends(io, start, twice, || drop(held)).is_some()
        });
        drop(lock.try_lock().expect("free"));
    });
}

fn many_permits_are_taken_or_all_there(on: &On, by: By) {
    on.on_thread(|io| {
        let semaphore = Semaphore::new(2);
        Race::new("many permits", 300).run(|start| {
            let acquire = |io: &dyn Io| Ok(semaphore.acquire_many(io, 3)?);
            let permits = by.ends(io, start, acquire, || semaphore.add_permits(1));
            let taken = permits.is_some();
            assert_eq!(semaphore.available(), if taken { 0 } else { 3 });
            drop(permits);
            semaphore.try_acquire().expect("all are back").forget();
            taken
        });
    });
}

fn a_notification_is_taken_or_kept(on: &On, by: By) {
    on.on_thread(|io| {
        let notify = Notify::new();
        Race::new("notify", 300).run(|start| {
            let taken = by.ends(io, start, |io| Ok(notify.wait(io)?), || notify.notify_one()).is_some();
            assert_eq!(notify.try_wait(), !taken);
            taken
        });
    });
}

/// Another task initializes, and either succeeds or leaves it to the waiting task.
fn a_cell_is_initialized_once(on: &On, by: By, succeeds: bool) {
    on.on_thread(|io| {
        Race::new("initialize", 300).run(|start| {
            let (cell, begun, end) = (OnceLock::new(), Event::new(), Event::new());
            scope(io, |group| {
                let first = concurrently(group, |io| {
                    cell.get_or_try_init_uncancelable(io, || {
                        begun.set();
                        end.wait_uncancelable(io);
                        if succeeds { Ok(1) } else { Err(()) }
                    })
                    .copied()
                });
                begun.wait_uncancelable(io);
                let seen = by.ends(io, start, |io| Ok(*cell.get_or_init(io, || 2)?), || end.set());
                assert_eq!(first.join(io), if succeeds { Ok(1) } else { Err(()) });
                let left = if succeeds { Some(1) } else { seen };
                assert_eq!(cell.get().copied(), left);
                assert!(seen.is_none_or(|seen| Some(seen) == left));
                seen.is_some()
            })
        });
    });
}

fn an_item_is_received_or_still_there(on: &On, by: By, one_shot: bool) {
    on.on_thread(|io| {
        let (sender, receiver) = unbounded();
        let mut next = 0;
        Race::new("receive an item that has room", 300).run(|start| {
            next += 1;
            if one_shot {
                let (sender, receiver) = oneshot::channel();
                let received =
                    by.ends(io, start, |io| Ok(receiver.recv(io)?), || sender.send(next).expect("it receives"));
                assert_eq!(received.or(receiver.try_recv().ok()), Some(next));
                assert!(receiver.try_recv().is_err(), "one");
                return received.is_some();
            }
            let send = || sender.try_send(next).unwrap_or_else(|error| panic!("{error}"));
            let received = by.ends(io, start, |io| Ok(receiver.recv(io)?), send);
            assert_eq!(received.or_else(|| receiver.try_recv().ok()), Some(next));
            assert!(receiver.is_empty(), "one");
            received.is_some()
        });
    });
}

/// Two items have to be put where there is room for both, or for one. In the latter case one is put although the call
/// is ended.
fn items_are_put_or_come_back(on: &On, by: By, capacity: usize) {
    on.on_thread(|io| {
        let queue = Queue::new(capacity);
        let mut next = 0;
        Race::new("put items", 300).run(|start| {
            next += 2;
            let mut old: VecDeque<_> = vec![0; capacity].into();
            assert_eq!(queue.try_put(&mut old).expect("open"), capacity);
            let (mut items, mut got) = ([next, next + 1].into(), Vec::new());
            let put = |io: &dyn Io| Ok(queue.put(io, &mut items, 2)?);
            let count = by.ends(io, start, put, || _ = queue.try_get(&mut got, capacity).expect("open"));
            assert_eq!(count.unwrap_or(0) + items.len(), 2);
            while queue.try_get(&mut got, 2).expect("open") > 0 {}
            let expected = old.into_iter().chain(vec![0; capacity]).chain([next, next + 1]);
            assert_eq!(got.into_iter().chain(items).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            count.is_some()
        });
    });
}

fn a_result_is_taken_or_still_there(on: &On, by: By) {
    on.on_thread(|io| {
        let end = Notify::new();
        let selected = io.join_set(|set: &JoinSet<'_, '_, u32>| {
            let mut next = 0;
            Race::new("next of a select", 300).run(|start| {
                next += 1;
                let number = next;
                let end = &end;
                let task = move |io: &dyn Io| {
                    end.wait_uncancelable(io);
                    number
                };
                set.spawn_concurrent(task).expect("concurrent");
                let taken = by.ends(io, start, |io| Ok(set.next(io)?), || end.notify_one()).flatten();
                let there = taken.or_else(|| set.next(io).expect("nobody stops it"));
                assert_eq!(there, Some(next));
                assert!(set.is_empty());
                taken.is_some()
            });
            Ok::<_, Canceled>(())
        });
        selected.expect("nobody stops it");
    });
}

/// The operations stay under way when a waiter gives up.
fn an_operation_of_a_batch_completes_once(on: &On, by: By) {
    on.on_thread(|io| {
        let (near, far) = tcp_pair(io);
        let mut buffer = [0; 8];
        let batched = io.batch(|batch: &Batch<'_, '_>| {
            let mut lent = Some(&mut buffer[..]);
            Race::new("wait for a batch", 300).run(|start| {
                let buffer = lent.take().expect("it came back");
                batch.add(7, Operation::Receive { socket: near.as_ref(), buffer, peek: false });
                let wait = |io: &dyn Io| batch.wait_concurrent(io);
                let waited = by.ends(io, start, wait, || far.write_all(io, b"x").expect("sent")).is_some();
                if !waited {
                    batch.wait_concurrent(io).expect("a unit");
                }
                let completed = batch.next().expect("one has completed");
                assert!(batch.is_empty() && completed.index == 7);
                assert!(matches!(completed.result, Ok(Output::Count(1))), "{completed:?}");
                let Buffers::Buffer(buffer) = completed.lent else { panic!("{:?}", completed.lent) };
                lent = Some(buffer);
                waited
            });
            Ok::<_, Canceled>(())
        });
        batched.expect("nobody stops it");
    });
}

fn an_end_comes_out_once(on: &On, by: By) {
    on.on_thread(|io| {
        let queue = CompletionQueue::new(io.handle().expect("a backend has one"));
        let end = Arc::new(Notify::new());
        Race::new("wait for a completion", 300).run(|start| {
            let theirs = end.clone();
            let id = queue.submit("tag", move |io: &dyn Io| theirs.wait_uncancelable(io)).expect("concurrent");
            let waited = by.ends(io, start, |io| Ok(queue.wait(io)?), || end.notify_one());
            let won = waited.is_some();
            let completion = waited.unwrap_or_else(|| queue.wait(io).expect("nobody stops it"));
            assert_eq!((completion.id, completion.kind), (id, CompletionKind::Operation(())));
            assert!(queue.is_empty());
            won
        });
    });
}

/// The end of an operation races its cancellation by id.
fn an_operation_that_is_canceled_by_its_id_ends_once(on: &On) {
    on.on_thread(|io| {
        let queue = CompletionQueue::new(io.handle().expect("a backend has one"));
        let end = Arc::new(Notify::new());
        Race::new("cancel by id", 500).run(|start| {
            let begun = Arc::new(Event::new());
            let (began, theirs) = (begun.clone(), end.clone());
            let operation = move |io: &dyn Io| {
                began.set();
                theirs.wait(io).is_ok()
            };
            let id = queue.submit("tag", operation).expect("concurrent");
            begun.wait_uncancelable(io);
            start.go(|| end.notify_one(), || _ = queue.cancel(id));
            let Completion { id: ended, kind, .. } = queue.wait(io).expect("nobody stops it");
            let CompletionKind::Operation(completed) = kind else { panic!("it is no timer") };
            assert_eq!(ended, id);
            assert!(queue.is_empty() && !queue.cancel(id), "once");
            assert_eq!(end.try_wait(), !completed);
            completed
        });
    });
}

fn a_tick_comes_or_is_still_due(on: &On, by: By) {
    const PERIOD: Duration = Duration::from_micros(300);
    on.on_thread(|io| {
        let mut interval = Interval::new(io.now() + PERIOD, PERIOD);
        Race::new("tick", 300).run(|start| {
            interval.reset(io);
            let due = interval.next();
            let tick = match by {
                By::Request => scope(io, |group| {
                    let interval = &mut interval;
                    let ticking = started(group, io, |io| interval.tick(io));
                    spin(start.cancellation_delay(PERIOD));
                    ticking.cancel(io).ok()
                }),
                By::Timeout => io.timeout(start.cancellation_delay(PERIOD), |io| interval.tick(io)).ok(),
            };
            assert!(tick.is_none_or(|tick| tick == due && io.now() >= due));
            assert_eq!(interval.next(), if tick.is_some() { due + PERIOD } else { due });
            tick.is_some()
        });
    });
}

/// After waiting for one of several things, the waiter can still get the result of the task, as if it had not waited.
fn a_task_has_finished_or_goes_on(on: &On, by: By) {
    on.on_thread(|io| {
        let never = Event::new();
        Race::new("the end of a task", 300).run(|start| {
            let end = Event::new();
            scope(io, |group| {
                let mut member = concurrently(group, |io| {
                    end.wait_uncancelable(io);
                    Box::new(5)
                });
                let wait = |io: &dyn Io| match io.select((never.on_wait(), member.on_finish()))? {
                    OneOf2::First(()) => panic!("nobody sets it"),
                    OneOf2::Second(()) => Ok(()),
                };
                let finished = by.ends(io, start, wait, || end.set()).is_some();
                assert!(!finished || member.is_finished());
                assert_eq!(*member.join(io), 5);
                finished
            })
        });
    });
}

/// There are two units: the waiter's, and one that another task has.
fn a_slot_is_taken_or_free(on: &On, by: By) {
    on.concurrent_limit(2).on_thread(|io| {
        let (ran, mut expected) = (AtomicUsize::new(0), 0);
        Race::new("wait for a slot", 300).run(|start| {
            let end = Event::new();
            let spawned = scope(io, |group| {
                let holder = concurrently(group, |io| end.wait_uncancelable(io));
                let ran = &ran;
                let spawn = |_: &dyn Io| {
                    let task = move |_: &dyn Io| ran.fetch_add(1, Ordering::SeqCst);
                    Ok(group.spawn_waiting(task).map(drop)?)
                };
                let spawned = by.ends(io, start, spawn, || end.set()).is_some();
                holder.join(io);
                spawned
            });
            expected += usize::from(spawned);
            assert_eq!(ran.load(Ordering::SeqCst), expected);
            assert_all_free(io, 2);
            spawned
        });
    });
}

/// Asserts that exactly this number of units of concurrency is free.
fn assert_all_free(io: &dyn Io, units: usize) {
    scope(io, |group| {
        let end = Event::new();
        let end = Arc::new(end);
        let wait = || {
            let end = end.clone();
            move |io: &dyn Io| end.wait_uncancelable(io)
        };
        for _ in 0..units {
            group.spawn_waiting(wait()).expect("it is free, or soon");
        }
        let refused = group.spawn_concurrent(wait()).expect_err("there are no more");
        assert!(matches!(refused.kind, SpawnErrorKind::ConcurrencyUnavailable(_)));
        end.set();
    });
}

/// The way in which a member starts another one.
#[derive(Clone, Copy, Debug)]
enum Spawn {
    Async,
    Concurrent,
    Waiting,
}

/// A group is canceled while a member starts another one: that one runs, and is asked to stop, once.
fn a_task_that_starts_in_a_canceled_group_is_canceled(on: &On, how: Spawn) {
    on.async_limit(4).on_thread(|io| {
        let ran = AtomicUsize::new(0);
        let mut expected = 0;
        Race::new("group cancel against spawn", 500).run(|start| {
            let (begin, cancel, was_first) = (Event::new(), Event::new(), AtomicBool::new(false));
            let (ran, begin, cancel, was_first) = (&ran, &begin, &cancel, &was_first);
            let child = move |io: &dyn Io| {
                if io.check_cancel().is_ok() {
                    was_first.store(true, Ordering::SeqCst);
                    io.sleep(LONG).expect_canceled("the group is canceled");
                }
                io.check_cancel().expect("once");
                ran.fetch_add(1, Ordering::SeqCst);
            };
            scope(io, |group| {
                let spawner = started(group, io, move |io| {
                    begin.wait_uncancelable(io);
                    match how {
                        Spawn::Async => io::Result::Ok(group.spawn_async(child)),
                        Spawn::Concurrent => Ok(group.spawn_concurrent(child).expect("a unit is free")),
                        Spawn::Waiting => Ok(group.spawn_waiting(child)?),
                    }
                    .map(drop)
                });
                scope(io, |outside| {
                    drop(started(outside, io, |io| {
                        cancel.wait_uncancelable(io);
                        group.cancel(io);
                    }));
                    start.go(|| begin.set(), || cancel.set());
                });
                assert!(group.is_empty(), "who cancels it waits for all");
                let spawned = spawner.join(io);
                expected += usize::from(spawned.is_ok());
                assert_eq!(ran.load(Ordering::SeqCst), expected);
                assert!(spawned.as_ref().err().is_none_or(Canceled::is_in), "{spawned:?}");
                was_first.load(Ordering::SeqCst)
            })
        });
    });
}

/// Only a token lets it continue.
fn a_context_that_parks_is_woken(on: &On, with_deadline: bool) {
    on.on_thread(|io| {
        Race::new("unpark against park", 1_000).run(|start| {
            let (told, begin, go) = (Event::new(), Event::new(), AtomicBool::new(false));
            let unparker = std::sync::OnceLock::new();
            scope(io, |group| {
                let parker = concurrently(group, |io| {
                    unparker.set(current(|context| context.unparker())).expect("once");
                    told.set();
                    begin.wait_uncancelable(io);
                    let mut parked = false;
                    while !go.load(Ordering::SeqCst) {
                        parked = true;
                        io.park(with_deadline.then(|| io.now() + LONG));
                    }
                    parked
                });
                told.wait_uncancelable(io);
                let unpark = || {
                    go.store(true, Ordering::SeqCst);
                    unparker.get().expect("told").unpark();
                };
                start.go(unpark, || begin.set());
                !parker.join(io)
            })
        });
    });
}
