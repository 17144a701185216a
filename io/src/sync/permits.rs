//! The state word of a semaphore: how many permits are free, and whether somebody waits for one.
//!
//! ```text
//!            take                  take_or_wait, under the lock
//!   n free ◀──────▶ n+1 free     0 free ─────────────────────────▶ WAITING
//!            give                  ▲    settle, under the lock         │
//!                                  └───────────────────────────────────┘
//! ```
//!
//! While the word says `WAITING`, no permit is free and nobody changes it but under the lock of the queue of
//! waiters: a permit that is given back goes to one of them, or, if all have given up, is free again. The
//! models of `tests/loom_permits.rs` run this very file under loom.

use super::primitive::{AtomicUsize, Ordering};

/// The most permits there can be.
pub(crate) const PERMITS_MAX: usize = usize::MAX / PERMIT;

/// Somebody may be in the queue.
const WAITING: usize = 1;
const PERMIT: usize = 2;

/// The word.
#[derive(Debug)]
pub(crate) struct Permits {
    /// Free permits, times `PERMIT`; or `WAITING`. SeqCst: backends count with it what has to end before they
    /// do.
    word: AtomicUsize,
}

/// What the word says when that many permits are free, or [`PERMITS_MAX`], if that is less.
pub(crate) const fn word_of(permits: usize) -> usize {
    if permits < PERMITS_MAX { permits * PERMIT } else { PERMITS_MAX * PERMIT }
}

impl Permits {
    /// Of a word that says [`word_of`] some permits: a constant, which loom's atomics cannot be.
    pub(crate) const fn new(word: AtomicUsize) -> Self {
        Self { word }
    }

    /// How many are free.
    pub(crate) fn free(&self) -> usize {
        self.word.load(Ordering::SeqCst) / PERMIT
    }

    /// Takes a permit if one is free.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        let take = |word: usize| word.checked_sub(PERMIT);
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, take).is_ok()
    }

    /// Takes a permit if one is free; `false`: the caller puts itself into the queue. Under its lock.
    #[must_use]
    pub(crate) fn take_or_wait(&self) -> bool {
        let take_or_wait = |word: usize| match word {
            0 => Some(WAITING),
            WAITING => None,
            free => Some(free - PERMIT),
        };
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, take_or_wait).is_ok_and(|free| free >= PERMIT)
    }

    /// Gives a permit back; `false`: somebody may wait for it. The caller takes the lock of the queue and
    /// tries again, and then, if it is refused again, passes the permit on and [settles](Self::settle).
    ///
    /// # Panics
    ///
    /// With more than [`PERMITS_MAX`].
    #[must_use]
    #[inline]
    pub(crate) fn give(&self) -> bool {
        let give = |word: usize| match word {
            WAITING => None,
            free => Some(free.checked_add(PERMIT).expect("a semaphore has at most usize::MAX / 2 permits")),
        };
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, give).is_ok()
    }

    /// Says that nobody is in the queue any more, and whether the permit went to the last who was. Under its
    /// lock, after [`give`](Self::give) had refused.
    pub(crate) fn settle(&self, passed_on: bool) {
        self.word.store(if passed_on { 0 } else { PERMIT }, Ordering::SeqCst);
    }
}
