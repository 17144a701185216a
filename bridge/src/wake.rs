//! Who of the workers sleeps, and whom a new job wakes.
//!
//! The protocol is told in `README.md` beside this file, section "Wake-ups". In short: a worker announces
//! its sleep and then looks at the queues once more; a producer fills a queue and then looks for
//! sleepers; both with a sequentially consistent fence in between, so that one sees the other. Whoever ends a
//! search has such a fence too before it looks whether there are more jobs. So the words themselves are Relaxed: they
//! publish nothing, and who clears a bit is said by the update.
//!
//! The models of `tests/loom_wake.rs` run this very file under loom.

use std::sync::OnceLock;

use super::primitive::{AtomicU64, AtomicUsize, Ordering, Unparker, current, fence};

/// How many workers a bridge can have: one bit each.
pub(crate) const WORKERS_MAX: usize = 64;

#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Wakes {
    /// A bit per worker: it sleeps, or is about to. Set by the worker; whoever clears it decides:
    /// a waker that does has to wake the worker, a worker that does goes on by itself.
    asleep: AtomicU64,
    /// How many workers were woken and have found no job yet; counted by who woke them. While there is
    /// one, shared jobs wake nobody: it finds them, or sees them when it looks once more, and the last
    /// one to find a job wakes another if there are more.
    searching: AtomicUsize,
    /// A bit per worker: it has registered and not ended. Written by the worker.
    working: AtomicU64,
    /// What wakes each worker; set by the worker before it first sleeps.
    unparkers: Box<[OnceLock<Unparker>]>,
    /// How many wakes were paid.
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

    /// Makes the calling context known as that worker.
    pub(crate) fn register(&self, worker: usize) {
        let _ = self.unparkers[worker].set(current(|context| context.unparker()));
        self.working.fetch_or(bit(worker), Ordering::Relaxed);
    }

    /// Undoes [`register`](Self::register): the context may become another thread's.
    pub(crate) fn unregister(&self, worker: usize) {
        self.working.fetch_and(!bit(worker), Ordering::Relaxed);
    }

    /// Whether the calling context is one of the workers.
    pub(crate) fn is_worker(&self) -> bool {
        let caller = current(|context| context.unparker());
        // Relaxed: a worker sees its own bit.
        bits(self.working.load(Ordering::Relaxed)).any(|worker| self.unparkers[worker].get() == Some(&caller))
    }

    /// After a job was put into the shared queue: sees to it that a worker comes for it. `more`
    /// says whether there are shared jobs.
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
            // What is counted as searching is the worker about to be woken.
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

    /// After a job was put into that worker's own queue: sees to it that the worker comes.
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

    /// Wakes all sleeping workers, to see that the bridge is closed.
    #[cold]
    pub(crate) fn wake_all(&self, more: impl Fn() -> bool) {
        // Pairs with the fence in `announce_sleep`.
        fence(Ordering::SeqCst);
        for worker in bits(self.asleep.load(Ordering::Relaxed)) {
            self.wake_worker_slow(worker, &more);
        }
    }

    /// Ends the searching of a worker that has found a job or goes to sleep; the last one sees to
    /// it that somebody comes for the jobs that are left.
    pub(crate) fn stop_searching(&self, more: impl Fn() -> bool) {
        if self.was_last_to_search() && more() {
            self.wake_any_slow(more);
        }
    }

    /// Counts out one that was searching; whether it was the only one, so that it has to look for more jobs.
    fn was_last_to_search(&self) -> bool {
        let last = self.searching.fetch_sub(1, Ordering::Relaxed) == 1;
        // Pairs with the fence in `wake_any`: of a producer that saw the count, the job is seen after this. So is who
        // went to sleep without seeing that job, and whoever ends a search after this sees it too.
        fence(Ordering::SeqCst);
        last
    }

    /// Announces that a worker goes to sleep. It looks at the queues once more after this, and is not
    /// searching.
    pub(crate) fn announce_sleep(&self, worker: usize) {
        self.asleep.fetch_or(bit(worker), Ordering::Relaxed);
        // Pairs with the fences of the wakers.
        fence(Ordering::SeqCst);
    }

    /// Whether nobody has woken that worker yet.
    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        // Relaxed: the token that ends the worker's park came after the change of the bit.
        self.asleep.load(Ordering::Relaxed) & bit(worker) != 0
    }

    /// Takes the announcement back; `false` when somebody has woken the worker, which is then
    /// searching.
    #[must_use]
    pub(crate) fn cancel_sleep(&self, worker: usize) -> bool {
        self.asleep.fetch_and(!bit(worker), Ordering::Relaxed) & bit(worker) != 0
    }

    /// How many wakes were paid.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Wakes a worker that was counted as searching already; `false` when it does not sleep.
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

/// The positions of the bits that are set.
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
