//! The word of a slot: one atomic that says who may touch the slot's job.
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
//! The thread that is in `HELD` has the job to itself. Between `take` and `cancel` the compare-exchange decides, once.
//! The generation makes a late `cancel` of an earlier job fail, so the caller can tell from its generation alone
//! whether it may still withdraw the job.
//!
//! All accesses are Relaxed. The word says who may touch the job. The *order* comes from the queue that brings the
//! slot's index: to the worker after `publish`, to the next producer after `free` or `take`. The push of each queue
//! releases and its pop acquires (see [`Carrier`](super::queue::Carrier)). Nothing else orders a `take` and a `cancel`,
//! so the update decides, and the loser touches nothing: nobody follows a canceled job, and a caller whose job was
//! taken waits for its end.
//!
//! `tests/loom_mpsc.rs` runs this very file under loom.

use super::primitive::{AtomicU64, Ordering};

/// Nobody owns the slot: its index is in the free list. Set by the worker that took or passed the job.
const FREE: u64 = 0;
/// One producer or worker has the slot to itself. Set by `claim` and `take`.
const HELD: u64 = 1;
/// The slot holds a job that a worker may take and that its caller may cancel. Set by the producer.
const QUEUED: u64 = 2;
/// The caller has withdrawn the job. Set by the caller.
const CANCELED: u64 = 3;

/// The bits of the word that contain the state; the others contain the generation.
const STATE: u64 = 3;
const GENERATION_ONE: u64 = 4;

/// Tells apart the jobs that a slot holds one after the other. No value is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// The content of a slot whose index a worker has popped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The worker owns the job, and calls [`Word::free`] when it has moved the job out.
    Job,
    /// The caller has withdrawn the job. The slot is free.
    Canceled,
}

/// The state and the generation of a slot.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(FREE))
    }

    /// Claims a free slot for a new job, or returns `None` if the slot is not free.
    #[must_use]
    pub(crate) fn claim(&self) -> Option<Generation> {
        let word = self.0.load(Ordering::Relaxed);
        if word & STATE != FREE {
            return None;
        }
        let won = self.0.compare_exchange(word, word | HELD, Ordering::Relaxed, Ordering::Relaxed);
        won.ok().map(|_| Generation(word & !STATE))
    }

    /// Offers the job to the workers. To be called by the producer that has claimed and filled the slot.
    pub(crate) fn publish(&self, generation: Generation) {
        self.0.store(generation.0 | QUEUED, Ordering::Relaxed);
    }

    /// Takes the job. To be called once, by the worker that has popped the slot's index, which a producer pushes after
    /// `publish`.
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

    /// Frees the slot. To be called by the worker that has taken the job and moved it out.
    pub(crate) fn free(&self) {
        // In `HELD` nobody else writes the word.
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & STATE, HELD, "only a held slot is freed");
        self.0.store((word & !STATE) + GENERATION_ONE, Ordering::Relaxed);
    }

    /// Withdraws the job, or returns false if a worker has taken it. To be called by the job's caller.
    #[must_use]
    pub(crate) fn cancel(&self, generation: Generation) -> bool {
        let (queued, canceled) = (generation.0 | QUEUED, generation.0 | CANCELED);
        self.0.compare_exchange(queued, canceled, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
