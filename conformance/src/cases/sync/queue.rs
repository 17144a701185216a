//! Queues: many at once, in order, each once, and partial progress wins.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::Io;
use iolite_io::sync::{Queue, RecvError, SendErrorKind};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, Random, concurrently, note, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    items_come_in_order_at_every_capacity(0, (1, 1)),
    items_come_in_order_at_every_capacity(0, (4, 2)),
    items_come_in_order_at_every_capacity(0, (7, 7)),
    items_come_in_order_at_every_capacity(1, (1, 1)),
    items_come_in_order_at_every_capacity(1, (4, 2)),
    items_come_in_order_at_every_capacity(1, (7, 7)),
    items_come_in_order_at_every_capacity(2, (1, 1)),
    items_come_in_order_at_every_capacity(2, (4, 2)),
    items_come_in_order_at_every_capacity(2, (7, 7)),
    items_come_in_order_at_every_capacity(3, (1, 1)),
    items_come_in_order_at_every_capacity(3, (4, 2)),
    items_come_in_order_at_every_capacity(3, (7, 7)),
    items_come_in_order_at_every_capacity(4, (1, 1)),
    items_come_in_order_at_every_capacity(4, (4, 2)),
    items_come_in_order_at_every_capacity(4, (7, 7)),
    items_come_in_order_at_every_capacity(5, (1, 1)),
    items_come_in_order_at_every_capacity(5, (4, 2)),
    items_come_in_order_at_every_capacity(5, (7, 7)),
    items_come_in_order_at_every_capacity(64, (1, 1)),
    items_come_in_order_at_every_capacity(64, (4, 2)),
    items_come_in_order_at_every_capacity(64, (7, 7)),
    a_minimum_of_zero_fills_partially,
    closing_drains_and_puts_fail_even_with_room,
    closing_lets_those_who_wait_go,
    capacity_zero_is_a_rendezvous,
    two_producers_meet_one_consumer(0),
    two_producers_meet_one_consumer(2),
    who_came_first_is_filled_first,
    partial_progress_wins_over_a_cancellation,
    partial_progress_wins_over_a_deadline,
    an_item_is_got_or_still_with_its_putter(0),
    an_item_is_got_or_still_with_its_putter(1),
    no_item_is_lost_or_doubled(0),
    no_item_is_lost_or_doubled(1),
    no_item_is_lost_or_doubled(5),
];

fn put(io: &dyn Io, queue: &Queue<usize>, items: impl IntoIterator<Item = usize>, min: usize) -> usize {
    queue.put(io, &mut items.into_iter().collect(), min).expect("open, not canceled")
}

/// Returns the items that are in the queue now.
fn there(queue: &Queue<usize>) -> Vec<usize> {
    let mut items = Vec::new();
    while queue.try_get(&mut items, usize::MAX).is_ok_and(|count| count > 0) {}
    items
}

fn items_come_in_order_at_every_capacity(on: &On, capacity: usize, (many, min): (usize, usize)) {
    on.run(|io| {
        let queue = Queue::new(capacity);
        scope(io, |group| {
            drop(concurrently(group, |io| {
                let mut items: VecDeque<_> = (0..300).collect();
                while !items.is_empty() {
                    let mut some = items.drain(..many.min(items.len())).collect();
                    let wanted = min.min(VecDeque::len(&some));
                    assert!(queue.put(io, &mut some, min).expect("open") >= wanted);
                    some.into_iter().rev().for_each(|item| items.push_front(item));
                }
                queue.close();
            }));
            let mut items = Vec::new();
            while let Ok(count) = queue.get(io, &mut items, min, many) {
                assert!((min..=many).contains(&count) || items.len() == 300, "{count}");
            }
            assert_eq!(items, (0..300).collect::<Vec<_>>());
        });
    });
}

fn a_minimum_of_zero_fills_partially(on: &On) {
    on.run(|io| {
        let queue = Queue::new(3);
        let mut items: VecDeque<_> = (0..5).collect();
        assert_eq!(queue.put(io, &mut items, 0).expect("open"), 3);
        assert_eq!((items.len(), queue.len()), (2, 3), "the others stay");
        assert_eq!(queue.put_uncancelable(io, &mut items, 0).expect("open"), 0);
        let mut got = vec![9];
        assert_eq!(queue.get(io, &mut got, 0, 2).expect("open"), 2);
        assert_eq!(queue.get_uncancelable(io, &mut got, 1, 2).expect("open"), 1, "at least one");
        assert_eq!(queue.get(io, &mut got, 0, 2).expect("open"), 0);
        assert_eq!(got, [9, 0, 1, 2], "appended");
        let soon = || io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon(), |io| queue.get(io, &mut got, 1, 1)), Err(RecvError::TimedOut)));
        assert_eq!(put(io, &queue, [1, 2, 3], 3), 3);
        assert!(matches!(io.timeout_at(soon(), |io| queue.put(io, &mut items, 1)), Err(SendErrorKind::TimedOut)));
        assert_eq!(items, [3, 4], "they come back");
    });
}

fn closing_drains_and_puts_fail_even_with_room(on: &On) {
    on.run(|io| {
        let queue = Queue::new(8);
        put(io, &queue, 0..5, 5);
        queue.close();
        assert!(queue.is_closed());
        let mut more = VecDeque::from([9]);
        assert!(matches!(queue.put(io, &mut more, 0), Err(SendErrorKind::Closed)));
        assert!(matches!(queue.try_put(&mut more), Err(SendErrorKind::Closed)));
        assert_eq!(more, [9]);
        let mut items = Vec::new();
        assert_eq!(queue.get(io, &mut items, 3, 3).expect("there"), 3);
        assert_eq!(queue.get(io, &mut items, 3, 3).expect("the rest"), 2, "a short final get");
        assert!(matches!(queue.get(io, &mut items, 1, 1), Err(RecvError::Closed)));
        assert!(matches!(queue.try_get(&mut items, 1), Err(RecvError::Closed)));
        assert_eq!(items, [0, 1, 2, 3, 4]);
    });
}

/// A task that waits when the queue closes ends, and returns what it has.
fn closing_lets_those_who_wait_go(on: &On) {
    on.run(|io| {
        let queue = Queue::new(1);
        scope(io, |group| {
            let putter = started(group, io, |io| {
                let mut items: VecDeque<_> = (0..4).collect();
                (queue.put(io, &mut items, 4), items)
            });
            until(io, || queue.len() == 1);
            queue.close();
            let (count, items) = putter.join(io);
            match count {
                Ok(count) => assert_eq!((count, items), (1, (1..4).collect())),
                Err(error) => panic!("one was put: {error}"),
            }
        });
        assert_eq!(there(&queue), [0]);
        let queue = Queue::<usize>::new(0);
        scope(io, |group| {
            let getter = started(group, io, |io| {
                let mut items = Vec::new();
                (queue.get(io, &mut items, 3, 3).ok(), items)
            });
            let mut one = VecDeque::from([7]);
            until(io, || queue.try_put(&mut one).expect("open") == 1);
            queue.close();
            assert_eq!(getter.join(io), (Some(1), vec![7]));
        });
    });
}

fn capacity_zero_is_a_rendezvous(on: &On) {
    on.run(|io| {
        let queue = Queue::new(0);
        let mut items = VecDeque::from([1, 2, 3]);
        assert_eq!(queue.try_put(&mut items).expect("open"), 0, "nobody gets");
        scope(io, |group| {
            let putter = started(group, io, |io| put(io, &queue, [1, 2, 3], 3));
            let mut items = Vec::new();
            assert_eq!(queue.get(io, &mut items, 2, 2).expect("from who puts"), 2);
            assert_eq!(queue.get(io, &mut items, 1, 5).expect("the last"), 1);
            assert_eq!((putter.join(io), items), (3, vec![1, 2, 3]));
        });
    });
}

/// From upstream's tests: producers that have no unit of concurrency, or two that have one.
fn two_producers_meet_one_consumer(on: &On, async_limit: usize) {
    on.async_limit(async_limit).run(|io| {
        let queue = Queue::new(0);
        scope(io, |group| {
            let producers = [0, 1].map(|number| {
                concurrently(group, {
                    let queue = &queue;
                    move |io: &dyn Io| put(io, queue, [number, number], 2)
                })
            });
            let consumer = group.spawn_async(|io| {
                let mut items = Vec::new();
                while items.len() < 4 {
                    queue.get(io, &mut items, 1, 1).expect("open");
                }
                items
            });
            let items = consumer.join(io);
            assert!(items == [0, 0, 1, 1] || items == [1, 1, 0, 0], "one call's items stay together: {items:?}");
            producers.into_iter().for_each(|producer| assert_eq!(producer.join(io), 2));
        });
    });
}

/// Two tasks that want two items each: the first gets both.
fn who_came_first_is_filled_first(on: &On) {
    on.run(|io| {
        for _ in 0..rounds(50) {
            let queue = Queue::new(0);
            scope(io, |group| {
                let getters = [(); 2].map(|()| {
                    concurrently(group, |io| {
                        let mut items = Vec::new();
                        let count = queue.get(io, &mut items, 2, 2).ok();
                        (count, items)
                    })
                });
                assert_eq!(put(io, &queue, [1], 1), 1);
                assert_eq!(put(io, &queue, [2], 1), 1);
                queue.close();
                let mut got = getters.map(|getter| getter.join(io));
                got.sort();
                assert_eq!(got, [(None, vec![]), (Some(2), vec![1, 2])]);
            });
        }
    });
}

fn partial_progress_wins_over_a_cancellation(on: &On) {
    on.run(|io| {
        let queue = Queue::new(2);
        scope(io, |group| {
            let putter = started(group, io, |io| {
                let mut items: VecDeque<_> = (0..5).collect();
                (queue.put(io, &mut items, 5).expect("two were put"), items, io.check_cancel())
            });
            until(io, || queue.len() == 2);
            let (count, items, pending) = putter.cancel(io);
            assert_eq!((count, items), (2, VecDeque::from([2, 3, 4])));
            pending.expect_canceled("still pending");
            let getter = started(group, io, |io| {
                let mut items = Vec::new();
                (queue.get(io, &mut items, 5, 5).expect("two were got"), items, io.check_cancel())
            });
            until(io, || queue.is_empty());
            let (count, items, pending) = getter.cancel(io);
            assert_eq!((count, items), (2, vec![0, 1]));
            pending.expect_canceled("still pending");
            let nothing = started(group, io, |io| queue.get(io, &mut Vec::new(), 1, 1));
            assert!(matches!(nothing.cancel(io), Err(RecvError::Canceled(_))));
        });
    });
}

fn partial_progress_wins_over_a_deadline(on: &On) {
    on.run(|io| {
        let queue = Queue::new(2);
        let soon = || io.now() + Duration::from_millis(1);
        let mut items: VecDeque<_> = (0..5).collect();
        assert_eq!(io.timeout_at(soon(), |io| queue.put(io, &mut items, 5)).expect("two were put"), 2);
        let mut got = Vec::new();
        assert_eq!(io.timeout_at(soon(), |io| queue.get(io, &mut got, 5, 5)).expect("two were got"), 2);
        let result = io.timeout(Duration::from_millis(1), |io| queue.get(io, &mut got, 5, 5));
        assert!(matches!(result, Err(RecvError::TimedOut)), "nothing was got: {result:?}");
        assert_eq!((got, items.len()), (vec![0, 1], 3));
    });
}

fn an_item_is_got_or_still_with_its_putter(on: &On, capacity: usize) {
    on.on_thread(|io| {
        let queue = Queue::new(capacity);
        let mut next = 0;
        Race::new("get items", 1_000).run(|start| {
            next += 2;
            let mut back: VecDeque<_> = [next, next + 1].into();
            let got = scope(io, |group| {
                let getter = started(group, io, |io| {
                    let mut items = Vec::new();
                    let count = queue.get(io, &mut items, 2, 2);
                    assert_eq!(count.unwrap_or(0), items.len());
                    items
                });
                start.go(|| drop(queue.try_put(&mut back)), || getter.request_cancel());
                getter.join(io)
            });
            let completed = !got.is_empty();
            let places: Vec<_> = got.into_iter().chain(there(&queue)).chain(back).collect();
            assert_eq!(places, [next, next + 1], "each is in one place, in order");
            completed
        });
    });
}

/// Putters and getters of many items are canceled and timed out at random, in tasks and on a plain thread. Each item is
/// received once, or is returned, or is in the queue; the items of one putter are in order.
fn no_item_is_lost_or_doubled(on: &On, capacity: usize) {
    on.on_thread(|io| {
        let mut random = Random::new("ledger of a queue");
        let (was_put, came_back) = (AtomicUsize::new(0), AtomicUsize::new(0));
        for _ in 0..rounds(60) {
            let queue = Queue::new(capacity);
            let mut all_got = Vec::new();
            let put_some = |io: &dyn Io, mut random: Random, number: usize| {
                let mut put_by_me = 0;
                for _ in 0..6 {
                    let count = random.below(6) as usize;
                    let first = number * 1_000 + put_by_me;
                    let mut items: VecDeque<_> = (first..first + count).collect();
                    let min = random.below(6) as usize;
                    let soon = io.now() + Duration::from_micros(random.below(60));
                    let put = match random.below(3) {
                        0 => io.timeout_at(soon, |io| queue.put(io, &mut items, min)),
                        _ => queue.put(io, &mut items, min),
                    };
                    let put = put.unwrap_or(0);
                    assert_eq!(put + items.len(), count);
                    assert!(items.iter().copied().eq(first + put..first + count), "the last ones come back");
                    put_by_me += put;
                    came_back.fetch_add(items.len(), Ordering::Relaxed);
                }
                was_put.fetch_add(put_by_me, Ordering::Relaxed);
                put_by_me
            };
            let get_some = |io: &dyn Io, mut random: Random| {
                let mut items = Vec::new();
                loop {
                    let (min, max) = (random.below(4) as usize, 1 + random.below(6) as usize);
                    let soon = io.now() + Duration::from_micros(random.below(60));
                    let (before, min) = (items.len(), min.max(1));
                    let got = match random.below(3) {
                        0 => io.timeout_at(soon, |io| queue.get(io, &mut items, min, max)),
                        _ => queue.get(io, &mut items, min, max),
                    };
                    if let Err(RecvError::Closed) = got {
                        return items;
                    }
                    assert_eq!(got.unwrap_or(0), items.len() - before);
                }
            };
            let (put_some, get_some) = (&put_some, &get_some);
            let mut put_by = [0; 4];
            thread::scope(|threads| {
                let theirs = random.fork();
                let on_thread = threads.spawn(move || put_some(io, theirs, 3));
                scope(io, |group| {
                    let putters: Vec<_> = (0..3)
                        .map(|number| {
                            let random = random.fork();
                            started(group, io, move |io| put_some(io, random, number))
                        })
                        .collect();
                    let getters = [(); 2].map(|()| {
                        let random = random.fork();
                        started(group, io, move |io| get_some(io, random))
                    });
                    for _ in 0..6 {
                        putters[random.below(3) as usize].request_cancel();
                        getters[random.below(2) as usize].request_cancel();
                        io.yield_now();
                    }
                    for (number, putter) in putters.into_iter().enumerate() {
                        put_by[number] = putter.join(io);
                    }
                    put_by[3] = on_thread.join().expect("no panic");
                    queue.close();
                    for getter in getters {
                        let items = getter.join(io);
                        assert!(
                            (0..4).all(|number| items.iter().filter(|item| **item / 1_000 == number).is_sorted()),
                            "out of order: {items:?}"
                        );
                        all_got.extend(items);
                    }
                });
            });
            all_got.sort_unstable();
            let expected: Vec<_> = (0..4).flat_map(|number| number * 1_000..number * 1_000 + put_by[number]).collect();
            assert_eq!(all_got, expected);
        }
        let counts = [was_put, came_back].map(AtomicUsize::into_inner);
        note(format_args!("put, came back: {counts:?}"));
        assert!(counts.iter().all(|count| *count > 0), "both happen");
    });
}
