//! Keeps track of the workers that sleep, and decides which one a new job wakes.
//!
//! `README.md` beside this file describes the protocol, in the section "Wake-ups". In short: a worker announces its
//! sleep and then looks at the queues once more. A producer fills a queue and then looks for sleepers. Both have a
//! sequentially consistent fence in between, so that one sees the other. A worker that ends its search has such a fence
//! too, before it checks whether there are more jobs. So the words themselves are Relaxed: they publish nothing, and
//! the update itself says who has cleared a bit.
//!
//! The models of `tests/loom_wake.rs` run this very file under loom.

use std::sync::OnceLock;

use super::primitive::{AtomicU64, AtomicUsize, Ordering, Unparker, current, fence};

/// The maximum number of workers of a bridge: one bit each.
pub(crate) const WORKERS_MAX: usize = 64;

#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Wakes {
    /// A bit per worker, which is set while the worker sleeps or is about to sleep. The worker sets it, and the thread
    /// that clears it decides: a waker that clears it has to wake the worker; a worker that clears it goes on by
    /// itself.
    asleep: AtomicU64,
    /// The number of workers that were woken and have found no job yet; their wakers count them. While it is not zero,
    /// shared jobs wake nobody: the searching worker finds them, or sees them when it looks once more, and the last one
    /// to find a job wakes another worker if there are more jobs.
    searching: AtomicUsize,
    /// A bit per worker, which is set while the worker is registered. Only the worker writes it.
    working: AtomicU64,
    /// The unparker of each worker, which the worker sets before it first sleeps.
    unparkers: Box<[OnceLock<Unparker>]>,
    /// The number of wake-ups that were made.
    count: AtomicU64,
}

impl Wakes {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            asleep: AtomicU64::new(0),
            searching: AtomicUsize::new(0),
            working: AtomicU64::new(0),
            unparkers: (0..workers).map(|_| OnceLock::new()).collect(),
            count: AtomicU64::new(0),
        }
    }

    /// Registers the calling context as that worker.
    pub(crate) fn register(&self, worker: usize) {
        let _ = self.unparkers[worker].set(current(|context| context.unparker()));
        self.working.fetch_or(bit(worker), Ordering::Relaxed);
    }

    /// Undoes [`register`](Self::register): the context may later belong to another thread.
    pub(crate) fn unregister(&self, worker: usize) {
        self.working.fetch_and(!bit(worker), Ordering::Relaxed);
    }

    /// Returns true if the calling context is one of the workers.
    pub(crate) fn is_worker(&self) -> bool {
        let caller = current(|context| context.unparker());
        // Relaxed: a worker sees its own bit.
        bits(self.working.load(Ordering::Relaxed)).any(|worker| self.unparkers[worker].get() == Some(&caller))
    }

    /// Makes sure that a worker comes for a job that was put into the shared queue. `more` says whether there are
    /// shared jobs.
    #[inline]
    pub(crate) fn wake_any(&self, more: impl Fn() -> bool) {
        // Pairs with the fence in `announce_sleep`.
        fence(Ordering::SeqCst);
        if self.searching.load(Ordering::Relaxed) == 0 && self.asleep.load(Ordering::Relaxed) != 0 {
            self.wake_any_slow(more);
        }
    }

    #[cold]
    fn wake_any_slow(&self, more: impl Fn() -> bool) {
        loop {
            if self.asleep.load(Ordering::Relaxed) == 0
                || self.searching.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                return;
            }
            // The searching worker that is counted is the one about to be woken.
            let sleepers = self.asleep.load(Ordering::Relaxed);
            if bits(sleepers).any(|worker| self.wake_counted(worker)) {
                return;
            }
            // Nobody was woken. Producers that saw the count rely on this caller.
            if !self.was_last_to_search() || !more() {
                return;
            }
        }
    }

    /// Makes sure that a worker comes for a job that was put into its own queue.
    #[inline]
    pub(crate) fn wake_worker(&self, worker: usize, more: impl Fn() -> bool) {
        // Pairs with the fence in `announce_sleep`.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) & bit(worker) != 0 {
            self.wake_worker_slow(worker, more);
        }
    }

    #[cold]
    fn wake_worker_slow(&self, worker: usize, more: impl Fn() -> bool) {
        self.searching.fetch_add(1, Ordering::Relaxed);
        if !self.wake_counted(worker) {
            self.stop_searching(more);
        }
    }

    /// Wakes all sleeping workers, so that they see that the bridge is closed.
    #[cold]
    pub(crate) fn wake_all(&self, more: impl Fn() -> bool) {
        // Pairs with the fence in `announce_sleep`.
        fence(Ordering::SeqCst);
        for worker in bits(self.asleep.load(Ordering::Relaxed)) {
            self.wake_worker_slow(worker, &more);
        }
    }

    /// Ends the search of a worker that has found a job or goes to sleep. The last one makes sure that a worker comes
    /// for the remaining jobs.
    pub(crate) fn stop_searching(&self, more: impl Fn() -> bool) {
        if self.was_last_to_search() && more() {
            self.wake_any_slow(more);
        }
    }

    /// Counts out one searching worker. Returns true if it was the only one, so that the caller has to look for more
    /// jobs.
    fn was_last_to_search(&self) -> bool {
        let last = self.searching.fetch_sub(1, Ordering::Relaxed) == 1;
        // Pairs with the fence in `wake_any`: after this fence, the job of a producer that saw the count is visible. So
        // is every worker that went to sleep without seeing that job, and that worker is also visible to every thread
        // that ends its search after this.
        fence(Ordering::SeqCst);
        last
    }

    /// Announces that a worker goes to sleep. The worker looks at the queues once more after this, and is not
    /// searching.
    pub(crate) fn announce_sleep(&self, worker: usize) {
        self.asleep.fetch_or(bit(worker), Ordering::Relaxed);
        // Pairs with the fences of the wakers.
        fence(Ordering::SeqCst);
    }

    /// Returns true if nobody has woken that worker yet.
    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        // Relaxed: the token that ends the worker's park was left after the change of the bit.
        self.asleep.load(Ordering::Relaxed) & bit(worker) != 0
    }

    /// Takes the announcement back, or returns false if somebody has woken the worker, which is then searching.
    #[must_use]
    pub(crate) fn cancel_sleep(&self, worker: usize) -> bool {
        self.asleep.fetch_and(!bit(worker), Ordering::Relaxed) & bit(worker) != 0
    }

    /// Returns the number of wake-ups that were made.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Wakes a worker that was already counted as searching, or returns false if it does not sleep.
    fn wake_counted(&self, worker: usize) -> bool {
        if !self.cancel_sleep(worker) {
            return false;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(unparker) = self.unparkers[worker].get() {
            unparker.unpark();
        }
        true
    }
}

fn bit(worker: usize) -> u64 {
    1 << worker
}

/// Returns the positions of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let position = word.trailing_zeros();
        word &= word - 1;
        Some(position as usize)
    })
}
