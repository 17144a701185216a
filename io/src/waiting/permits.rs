//! The state word of a semaphore: the number of free permits, and whether a context waits for more.
//!
//! ```text
//!            take                     take_or_wait, under the lock
//!   n free ◀──────▶ n + m free      n free ────────────────────────▶ n free, WAITING
//!            give                     ▲      settle, under the lock         │
//!                                     └─────────────────────────────────────┘
//! ```
//!
//! While the word says `WAITING`, it changes only under the lock of the queue of waiters: permits that are given back
//! go to the waiters in order of arrival, and no later caller gets ahead of them. The models of `tests/loom_permits.rs`
//! run this very file under loom.

use crate::primitive::{AtomicUsize, Ordering};

/// The maximum number of permits.
pub(crate) const PERMITS_MAX: usize = usize::MAX / PERMIT;

/// Set if there may be a waiter in the queue.
const WAITING: usize = 1;
const PERMIT: usize = 2;

/// The word.
#[derive(Debug)]
pub(crate) struct Permits {
    /// The number of free permits times `PERMIT`, plus `WAITING` or 0. Giving a permit back releases what its holder
    /// did, and taking it acquires that. Changes of the number, and `free`, are SeqCst: backends use the number to
    /// count what has to end before they do, see [`Closing`](crate::backend::Closing).
    word: AtomicUsize,
}

/// Returns the word that says that `permits` permits are free, or [`PERMITS_MAX`] if that is less.
pub(crate) const fn word_of(permits: usize) -> usize {
    if permits < PERMITS_MAX { permits * PERMIT } else { PERMITS_MAX * PERMIT }
}

impl Permits {
    /// Makes permits from a word that [`word_of`] returned. The caller makes the atomic, since loom's atomics cannot be
    /// made in a constant.
    pub(crate) const fn new(word: AtomicUsize) -> Self {
        Self { word }
    }

    /// Returns the number of free permits.
    pub(crate) fn free(&self) -> usize {
        self.word.load(Ordering::SeqCst) / PERMIT
    }

    /// Takes `count` permits, at most [`PERMITS_MAX`], if they are free and nobody waits.
    #[inline]
    pub(crate) fn take(&self, count: usize) -> bool {
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |word| less(word, count)).is_ok()
    }

    /// Takes permits like [`take`](Self::take). If it returns false, the caller enters the queue. Called under the lock
    /// of the queue.
    #[must_use]
    pub(crate) fn take_or_wait(&self, count: usize) -> bool {
        let take_or_wait = |word: usize| Some(less(word, count).unwrap_or(word | WAITING));
        self.word
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, take_or_wait)
            .is_ok_and(|word| less(word, count).is_some())
    }

    /// Says that a context may wait, and returns the number of free permits. The number does not change until the
    /// caller has entered the queue or [settled](Self::settle). Called under the lock of the queue.
    pub(crate) fn free_to_wait(&self) -> usize {
        // Acquire: like a call that takes permits; that the caller takes them is said by `settle`.
        self.word.fetch_or(WAITING, Ordering::Acquire) / PERMIT
    }

    /// Gives `count` permits back. Returns false if a context may wait for them. The caller then takes the lock of the
    /// queue and tries again; if it is refused again, it passes the permits on and [settles](Self::settle).
    ///
    /// # Panics
    ///
    /// Panics if there would be more than [`PERMITS_MAX`].
    #[must_use]
    #[inline]
    pub(crate) fn give(&self, count: usize) -> bool {
        let give = |word: usize| (word & WAITING == 0).then(|| more(word, count));
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, give).is_ok()
    }

    /// Returns the number of permits to be passed on, including `count` more. Called under the lock of the queue, after
    /// [`give`](Self::give) has refused.
    ///
    /// # Panics
    ///
    /// See `give`.
    pub(crate) fn free_with(&self, count: usize) -> usize {
        // Relaxed: the thread that said that a context may wait has acquired everything that was given before, under
        // the lock.
        more(self.word.load(Ordering::Relaxed) & !WAITING, count) / PERMIT
    }

    /// Sets the number of permits that remain free after the waiters got theirs, and whether a waiter is still in the
    /// queue. Called under the lock of the queue, after the word said that there may be a waiter.
    pub(crate) fn settle(&self, free: usize, waiting: bool) {
        self.word.store(word_of(free) + usize::from(waiting) * WAITING, Ordering::SeqCst);
    }
}

/// Returns the word with `count` fewer free permits, if that many are free and nobody waits.
#[inline]
fn less(word: usize, count: usize) -> Option<usize> {
    if word & WAITING == 0 { word.checked_sub(count * PERMIT) } else { None }
}

/// Returns the word with `count` more free permits.
#[inline]
fn more(word: usize, count: usize) -> usize {
    // Overflows if there is one permit more than the maximum.
    let more = count.checked_mul(PERMIT).and_then(|count| word.checked_add(count));
    more.expect("a semaphore has at most usize::MAX / 2 permits")
}
