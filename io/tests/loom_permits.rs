//! Models of the semaphore: loom runs `sync/permits.rs` itself, around a queue as in `sync/semaphore.rs`,
//! through every interleaving. A wake-up that is lost shows as a deadlock, a permit that is lost in the count
//! at the end.

#[path = "../src/sync/permits.rs"]
#[allow(dead_code)]
mod permits;

mod primitive {
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
}

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use permits::{Permits, word_of};
use primitive::AtomicUsize;

/// As in the other models: with at most two preemptions, which is where bugs of this size show.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

struct Semaphore {
    permits: Permits,
    queue: Mutex<Queue>,
    served: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Who, and how many permits they want.
    waiting: VecDeque<(usize, usize)>,
    /// Who was popped, and has not seen it.
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

    /// Takes permits; one that is impatient gives up where it would have to wait.
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

    /// Whoever removes the node decides.
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

/// Two who want a permit each, beside one who wants `count`, which is how many there are.
fn all_come_through(count: usize) {
    explore(move || {
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
    explore(|| {
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
        // The next one waits for nothing.
        assert!(semaphore.acquire(1, 1, false));
    });
}

/// The one who gives up had kept out one who wants less than is free.
#[test]
fn who_gives_up_lets_those_behind_in() {
    explore(|| {
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
