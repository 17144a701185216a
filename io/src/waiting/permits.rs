//! The state word of a semaphore: how many permits are free, and whether somebody waits for more.
//!
//! ```text
//!            take                     take_or_wait, under the lock
//!   n free ◀──────▶ n + m free      n free ────────────────────────▶ n free, WAITING
//!            give                     ▲      settle, under the lock         │
//!                                     └─────────────────────────────────────┘
//! ```
//!
//! While the word says `WAITING`, nobody changes it but under the lock of the queue of waiters: permits that
//! are given back go to them, the longest waiting first, and nobody gets ahead of them. The models of
//! `tests/loom_permits.rs` run this very file under loom.

use crate::primitive::{AtomicUsize, Ordering};

/// The most permits there can be.
pub(crate) const PERMITS_MAX: usize = usize::MAX / PERMIT;

/// Somebody may be in the queue.
const WAITING: usize = 1;
const PERMIT: usize = 2;

/// The word.
#[derive(Debug)]
pub(crate) struct Permits {
    /// Free permits, times `PERMIT`, plus `WAITING` or not. Who gives a permit back releases what it did with it, who
    /// takes it acquires that. What changes the number, and `free`, is SeqCst: backends count with it what has to end
    /// before they do, see [`Closing`](crate::backend::Closing).
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

    /// Takes `count` permits, [`PERMITS_MAX`] at most, if they are free and nobody waits.
    #[inline]
    pub(crate) fn take(&self, count: usize) -> bool {
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |word| less(word, count)).is_ok()
    }

    /// As [`take`](Self::take); `false`: the caller puts itself into the queue. Under its lock.
    #[must_use]
    pub(crate) fn take_or_wait(&self, count: usize) -> bool {
        let take_or_wait = |word: usize| Some(less(word, count).unwrap_or(word | WAITING));
        self.word
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, take_or_wait)
            .is_ok_and(|word| less(word, count).is_some())
    }

    /// Says that somebody may wait, and how many are free, which stays so until the caller has put itself into the
    /// queue or [settled](Self::settle). Under its lock.
    pub(crate) fn free_to_wait(&self) -> usize {
        // Acquire: as one that takes; that the caller takes is said by `settle`.
        self.word.fetch_or(WAITING, Ordering::Acquire) / PERMIT
    }

    /// Gives `count` permits back; `false`: somebody may wait for them. The caller takes the lock of the queue
    /// and tries again, and then, if it is refused again, passes them on and [settles](Self::settle).
    ///
    /// # Panics
    ///
    /// With more than [`PERMITS_MAX`].
    #[must_use]
    #[inline]
    pub(crate) fn give(&self, count: usize) -> bool {
        let give = |word: usize| (word & WAITING == 0).then(|| more(word, count));
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, give).is_ok()
    }

    /// How many there are to be passed on, with `count` more. Under the lock of the queue, after
    /// [`give`](Self::give) had refused.
    ///
    /// # Panics
    ///
    /// As `give`.
    pub(crate) fn free_with(&self, count: usize) -> usize {
        // Relaxed: who said that somebody may wait has acquired all that was given before, and under the lock.
        more(self.word.load(Ordering::Relaxed) & !WAITING, count) / PERMIT
    }

    /// Says how many are free when those in the queue have got theirs, and whether somebody still is in it.
    /// Under its lock, after the word said that somebody may be in it.
    pub(crate) fn settle(&self, free: usize, waiting: bool) {
        self.word.store(word_of(free) + usize::from(waiting) * WAITING, Ordering::SeqCst);
    }
}

/// The word with `count` fewer free permits, if there are so many and nobody waits.
#[inline]
fn less(word: usize, count: usize) -> Option<usize> {
    if word & WAITING == 0 { word.checked_sub(count * PERMIT) } else { None }
}

/// The word with `count` more free permits.
#[inline]
fn more(word: usize, count: usize) -> usize {
    // It overflows with one permit more than there can be.
    let more = count.checked_mul(PERMIT).and_then(|count| word.checked_add(count));
    more.expect("a semaphore has at most usize::MAX / 2 permits")
}
