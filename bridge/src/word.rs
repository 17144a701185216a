//! The word of a slot: who may touch the job in it, as one atomic.
//!
//! ```text
//!              claim              publish               take
//!   FREE(g) ─────────▶ HELD(g) ───────────▶ QUEUED(g) ─────────▶ HELD(g)
//!     ▲    (producer)                          │      (worker)     │
//!     │                                        │ cancel (caller)   │ free
//!     │                    pass (worker)       ▼                   ▼
//!     └─FREE(g+1)◀───────────────────────── CANCELED(g)       FREE(g+1)
//! ```
//!
//! Whoever is in `HELD` has the job to itself. Between `take` and `cancel` the compare-exchange
//! decides, once; the generation makes a late `cancel` of an earlier job fail, so that a caller
//! needs nothing but its generation to know whether the job is still its own to withdraw.
//!
//! All accesses are Relaxed. Who may touch the job is said by the word, but *when* by what brings the slot's index: to
//! the worker after `publish`, to the next producer after `free` or `take`, each by a queue whose push releases and whose
//! pop acquires (see [`Carrier`](super::queue::Carrier)). Between a `take` and a `cancel`, which nothing else orders, the
//! update decides, and the loser touches nothing: a canceled job is followed by nobody, and whose job was taken waits
//! for its end.
//!
//! `tests/loom_mpsc.rs` runs this very file under loom.

use super::primitive::{AtomicU64, Ordering};

/// Nobody's: its index is in the free list. Set by the worker that took or passed the job.
const FREE: u64 = 0;
/// One producer or worker has the slot to itself. Set by `claim` and `take`.
const HELD: u64 = 1;
/// Holds a job that a worker may take and its caller may cancel. Set by the producer.
const QUEUED: u64 = 2;
/// Its caller has gone, and the job with it. Set by the caller.
const CANCELED: u64 = 3;

/// What of the word is the state; the rest is the generation.
const STATE: u64 = 3;
const GENERATION_ONE: u64 = 4;

/// Which of the jobs that a slot holds one after the other. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// What a worker found in a slot whose index it popped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The job is the worker's, which says [`Word::free`] when it has moved it out.
    Job,
    /// The caller withdrew it. The slot is free.
    Canceled,
}

/// The state and the generation of a slot.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(FREE))
    }

    /// Takes a free slot for a new job; `None` when it is not free.
    #[must_use]
    pub(crate) fn claim(&self) -> Option<Generation> {
        let word = self.0.load(Ordering::Relaxed);
        if word & STATE != FREE {
            return None;
        }
        let won = self.0.compare_exchange(word, word | HELD, Ordering::Relaxed, Ordering::Relaxed);
        won.ok().map(|_| Generation(word & !STATE))
    }

    /// Offers the job to the workers. For who claimed the slot and has filled it.
    pub(crate) fn publish(&self, generation: Generation) {
        self.0.store(generation.0 | QUEUED, Ordering::Relaxed);
    }

    /// Takes the job. For the worker that popped the slot's index, which a producer pushes after
    /// `publish`, once.
    #[must_use]
    pub(crate) fn take(&self) -> Taken {
        let word = self.0.load(Ordering::Relaxed);
        if word & STATE == QUEUED {
            let held = word & !STATE | HELD;
            if self.0.compare_exchange(word, held, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Taken::Job;
            }
        }
        // Only the caller's `cancel` can have been faster.
        let word = self.0.fetch_add(GENERATION_ONE - CANCELED, Ordering::Relaxed);
        debug_assert_eq!(word & STATE, CANCELED, "a queued slot is taken or canceled, nothing else");
        Taken::Canceled
    }

    /// Gives the slot back. For the worker that took the job and has moved it out.
    pub(crate) fn free(&self) {
        // In `HELD` nobody else writes.
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & STATE, HELD, "only a held slot is freed");
        self.0.store((word & !STATE) + GENERATION_ONE, Ordering::Relaxed);
    }

    /// Withdraws the job; `false` when a worker has taken it. For the caller whose job it is.
    #[must_use]
    pub(crate) fn cancel(&self, generation: Generation) -> bool {
        let (queued, canceled) = (generation.0 | QUEUED, generation.0 | CANCELED);
        self.0.compare_exchange(queued, canceled, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
