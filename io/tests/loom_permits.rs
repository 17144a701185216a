//! Models of the semaphore: loom runs `waiting/permits.rs` itself through every interleaving, around a queue as in
//! `waiting/semaphore.rs`. A lost wake-up shows as a deadlock; a lost permit shows in the count at the end.

#[path = "../src/waiting/permits.rs"]
#[allow(dead_code)]
mod permits;
#[path = "support/loom_primitive.rs"]
mod primitive;

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use permits::{Permits, word_of};
use primitive::{AtomicUsize, Guarded, explore};

struct Semaphore {
    permits: Permits,
    queue: Mutex<Queue>,
    served: Condvar,
}

#[derive(Default)]
struct Queue {
    /// The waiters, and the number of permits that each wants.
    waiting: VecDeque<(usize, usize)>,
    /// The waiters that were popped and have not noticed it yet.
    served: Vec<usize>,
}

impl Semaphore {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Permits::new(AtomicUsize::new(word_of(permits))),
            queue: Mutex::default(),
            served: Condvar::new(),
        })
    }

    /// Takes permits; an impatient caller gives up instead of waiting.
    fn acquire(&self, who: usize, count: usize, impatient: bool) -> bool {
        if self.permits.take(count) {
            return true;
        }
        let mut queue = self.queue.lock().unwrap();
        if self.permits.take_or_wait(count) {
            return true;
        }
        queue.waiting.push_back((who, count));
        if impatient {
            drop(queue);
            return !self.give_up(who);
        }
        while !queue.served.contains(&who) {
            queue = self.served.wait(queue).unwrap();
        }
        true
    }

    /// The thread that removes the node decides.
    fn give_up(&self, who: usize) -> bool {
        let mut queue = self.queue.lock().unwrap();
        let index = queue.waiting.iter().position(|(waiting, _)| *waiting == who);
        let gave_up = index.map(|index| queue.waiting.remove(index)).is_some();
        drop(queue);
        if gave_up {
            self.release_slow(0);
        }
        gave_up
    }

    fn release(&self, count: usize) {
        if !self.permits.give(count) {
            self.release_slow(count);
        }
    }

    fn release_slow(&self, count: usize) {
        let mut queue = self.queue.lock().unwrap();
        if self.permits.give(count) {
            return;
        }
        let mut free = self.permits.free_with(count);
        while let Some((next, rest)) =
            queue.waiting.front().and_then(|(who, want)| Some((*who, free.checked_sub(*want)?)))
        {
            free = rest;
            queue.waiting.pop_front();
            queue.served.push(next);
        }
        self.permits.settle(free, !queue.waiting.is_empty());
        self.served.notify_all();
    }
}

/// Two threads want one permit each, beside one that wants `count`, which is the number of all permits.
fn all_come_through(count: usize) {
    explore(2, move || {
        let semaphore = Semaphore::new(count);
        let others: Vec<_> = (0..2)
            .map(|who| {
                let semaphore = semaphore.clone();
                thread::spawn(move || {
                    assert!(semaphore.acquire(who, 1, false));
                    semaphore.release(1);
                })
            })
            .collect();
        assert!(semaphore.acquire(2, count, false));
        semaphore.release(count);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(semaphore.permits.free(), count);
    });
}

#[test]
fn every_waiter_is_served_and_every_permit_comes_back() {
    all_come_through(1);
}

/// A writer and two readers, as a lock has them.
#[test]
fn who_wants_many_and_who_wants_one_are_served() {
    all_come_through(2);
}

#[test]
fn a_waiter_that_gives_up_leaves_its_permit_to_the_others() {
    explore(2, || {
        let semaphore = Semaphore::new(0);
        let releasers: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.release(1))
            })
            .collect();
        let took = usize::from(semaphore.acquire(0, 1, true));
        releasers.into_iter().for_each(|releaser| releaser.join().unwrap());
        assert_eq!(semaphore.permits.free() + took, 2);
        // The next caller waits for nothing.
        assert!(semaphore.acquire(1, 1, false));
    });
}

/// Models that fail with weaker orderings of the word: the only permit protects a value, which one thread at a time
/// touches.
mod orders {
    use super::*;

    struct Owned {
        permits: Permits,
        queue: Mutex<()>,
        it: Guarded,
    }

    impl Owned {
        fn new() -> Arc<Self> {
            let permits = Permits::new(AtomicUsize::new(word_of(1)));
            Arc::new(Self { permits, queue: Mutex::new(()), it: Guarded::new() })
        }

        /// Tries under the lock, like a caller that would wait. Returns true if it got the permit.
        fn take_or_leave(&self) -> bool {
            let _queue = self.queue.lock().unwrap();
            let took = self.permits.take_or_wait(1);
            if !took {
                self.permits.settle(0, false);
            }
            took
        }

        /// Takes a permit as a wait for several things does.
        fn look_and_take(&self) -> bool {
            let _queue = self.queue.lock().unwrap();
            let free = self.permits.free_to_wait();
            self.permits.settle(0, false);
            free == 1
        }

        /// Finds other waiters in the queue, which then get nothing.
        fn settle(&self) {
            let _queue = self.queue.lock().unwrap();
            self.permits.settle(1, false);
        }
    }

    /// One thread returns the permit without the lock, and another one takes it.
    fn hand_over(take: fn(&Owned) -> bool, give: fn(&Owned)) {
        explore(3, move || {
            let owned = Owned::new();
            assert!(owned.permits.take(1));
            let giver = {
                let owned = owned.clone();
                thread::spawn(move || {
                    owned.it.write();
                    give(&owned);
                })
            };
            if take(&owned) {
                owned.it.write();
            }
            giver.join().unwrap();
        });
    }

    fn give(owned: &Owned) {
        while !owned.permits.give(1) {
            thread::yield_now();
        }
    }

    #[test]
    fn who_takes_comes_after_who_gave() {
        hand_over(|owned| owned.permits.take(1), give);
    }

    #[test]
    fn who_takes_after_a_look_comes_after_who_gave() {
        hand_over(Owned::take_or_leave, give);
    }

    #[test]
    fn who_takes_among_many_things_comes_after_who_gave() {
        hand_over(Owned::look_and_take, give);
    }

    #[test]
    fn who_takes_comes_after_who_settled() {
        hand_over(|owned| owned.permits.take(1), Owned::settle);
    }

    /// Permits that were returned before somebody waited are passed on by the thread that returns one more.
    #[test]
    fn what_is_passed_on_was_given_before() {
        explore(2, || {
            let owned = Owned::new();
            let giver = {
                let owned = owned.clone();
                thread::spawn(move || assert!(owned.permits.give(1) || owned.permits.free() == 1))
            };
            let waiting = {
                let queue = owned.queue.lock().unwrap();
                let waiting = !owned.permits.take_or_wait(2);
                drop(queue);
                waiting
            };
            giver.join().unwrap();
            if waiting {
                let _queue = owned.queue.lock().unwrap();
                let free = owned.permits.free_with(1);
                assert!(free == 2 || free == 3);
                owned.permits.settle(free, false);
                assert_eq!(owned.permits.free(), free);
            }
        });
    }
}

/// The waiter that gives up has blocked one that wants fewer permits than are free.
#[test]
fn who_gives_up_lets_those_behind_in() {
    explore(2, || {
        let semaphore = Semaphore::new(1);
        let behind = semaphore.clone();
        let behind = thread::spawn(move || {
            assert!(behind.acquire(0, 1, false));
            behind.release(1);
        });
        assert!(!semaphore.acquire(1, 2, true), "there never are two");
        behind.join().unwrap();
        assert!(semaphore.permits.take(1), "nobody waits any more");
    });
}
