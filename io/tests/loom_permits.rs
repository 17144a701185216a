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
    waiting: VecDeque<usize>,
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

    /// Takes a permit; one that is impatient gives up where it would have to wait.
    fn acquire(&self, who: usize, impatient: bool) -> bool {
        if self.permits.take() {
            return true;
        }
        let mut queue = self.queue.lock().unwrap();
        if self.permits.take_or_wait() {
            return true;
        }
        queue.waiting.push_back(who);
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
        let index = queue.waiting.iter().position(|waiting| *waiting == who);
        index.map(|index| queue.waiting.remove(index)).is_some()
    }

    fn release(&self) {
        if self.permits.give() {
            return;
        }
        let mut queue = self.queue.lock().unwrap();
        if self.permits.give() {
            return;
        }
        let next = queue.waiting.pop_front();
        if queue.waiting.is_empty() {
            self.permits.settle(next.is_some());
        }
        if let Some(next) = next {
            queue.served.push(next);
            self.served.notify_all();
        }
    }
}

#[test]
fn every_waiter_is_served_and_every_permit_comes_back() {
    explore(|| {
        let semaphore = Semaphore::new(1);
        let others: Vec<_> = (0..2)
            .map(|who| {
                let semaphore = semaphore.clone();
                thread::spawn(move || {
                    assert!(semaphore.acquire(who, false));
                    semaphore.release();
                })
            })
            .collect();
        assert!(semaphore.acquire(2, false));
        semaphore.release();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(semaphore.permits.free(), 1);
    });
}

#[test]
fn a_waiter_that_gives_up_leaves_its_permit_to_the_others() {
    explore(|| {
        let semaphore = Semaphore::new(0);
        let releasers: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.release())
            })
            .collect();
        let took = usize::from(semaphore.acquire(0, true));
        releasers.into_iter().for_each(|releaser| releaser.join().unwrap());
        assert_eq!(semaphore.permits.free() + took, 2);
        // The next one waits for nothing.
        assert!(semaphore.acquire(1, false));
    });
}
