//! The one-shot park token of a context, as one atomic word.
//!
//! The word is shared by its owner (the fiber or thread that parks) and any number of wakers.
//!
//! ```text
//!            begin_park            notify
//!   empty ───────────────▶ PARKED ────────▶ PARKED|NOTIFIED|QUEUED ──┐ the notifier wakes the owner,
//!     │                      │                                       │ then clears QUEUED
//!     │ notify               │ end_park (deadline, completion)       │
//!     ▼                      ▼                                       ▼
//!  NOTIFIED ──begin_park──▶ empty  ◀──────────────end_park────────────
//! ```
//!
//! The waker that turns `PARKED` into `PARKED|NOTIFIED` while `QUEUED` is clear sets `QUEUED` in the same step and must
//! wake the owner; the tokens of all others are picked up by that wake. `QUEUED` also says that a waker still holds the
//! block, so that the owner's memory is not given to another context during that time.
//!
//! An executor stays `PARKED` for as long as its context lives. So every waker that leaves a token comes to it, and it
//! knows without an atomic whether the context sleeps. It calls `take_token` before it lets a context sleep, which
//! costs a load if there is no token. The models of `tests/loom_park.rs` run this very file under loom.

use crate::primitive::{AtomicU32, Ordering};

/// The owner sleeps, or is about to; set and cleared by the owner.
const PARKED: u32 = 1;
/// There is a token; set by wakers, consumed by the owner.
const NOTIFIED: u32 = 2;
/// A waker is on its way to the owner; set by the waker that has to wake, cleared when it has done so.
const QUEUED: u32 = 4;

/// The state word of a park token.
#[derive(Debug)]
pub(crate) struct ParkState {
    /// `PARKED | NOTIFIED | QUEUED`. A waker's Release in `notify` publishes the data for which the owner waits; the
    /// owner receives it when it consumes the token, in `begin_park`, `end_park` and `take_token`, by their Acquire.
    /// The Release of `begin_park` publishes how the owner is to be woken, and that of `woken` publishes that the block
    /// is free again, both to the Acquire of a `notify` that says to wake.
    bits: AtomicU32,
}

impl ParkState {
    pub(crate) fn new() -> Self {
        Self { bits: AtomicU32::new(0) }
    }

    /// Announces that the owner goes to sleep. Returns false if there was a token; it is consumed, and the owner goes
    /// on.
    #[must_use]
    pub(crate) fn begin_park(&self) -> bool {
        let mut bits = self.bits.load(Ordering::Relaxed);
        loop {
            let (next, sleep) = if bits & NOTIFIED != 0 { (bits & !NOTIFIED, false) } else { (bits | PARKED, true) };
            match self.bits.compare_exchange_weak(bits, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return sleep,
                Err(now) => bits = now,
            }
        }
    }

    /// Announces that the owner is awake again, for whatever reason, and consumes the token. Returns true if there was
    /// one.
    pub(crate) fn end_park(&self) -> bool {
        // No Release: an owner that is awake publishes nothing to wakers.
        self.bits.fetch_and(!(PARKED | NOTIFIED), Ordering::Acquire) & NOTIFIED != 0
    }

    /// Consumes the token, if there is one, and stays parked. For the owner.
    #[inline]
    pub(crate) fn take_token(&self) -> bool {
        self.is_notified() && self.bits.fetch_and(!NOTIFIED, Ordering::Acquire) & NOTIFIED != 0
    }

    /// Returns true if there is a token. Only a hint unless the owner calls it.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        // Relaxed: consuming the token receives what it publishes.
        self.bits.load(Ordering::Relaxed) & NOTIFIED != 0
    }

    /// Leaves a token. Returns true if the owner sleeps; the caller then has to wake it and call
    /// [`woken`](Self::woken).
    #[must_use]
    pub(crate) fn notify(&self) -> bool {
        let mut bits = self.bits.load(Ordering::Relaxed);
        loop {
            let wake = bits & PARKED != 0 && bits & (NOTIFIED | QUEUED) == 0;
            let next = bits | NOTIFIED | if wake { QUEUED } else { 0 };
            match self.bits.compare_exchange_weak(bits, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return wake,
                Err(now) => bits = now,
            }
        }
    }

    /// Ends what [`notify`](Self::notify) began. The caller wakes the owner **after** this, so that
    /// a token left between the two is covered by that wake.
    pub(crate) fn woken(&self) {
        // No Acquire: the owner consumes the token after this.
        self.bits.fetch_and(!QUEUED, Ordering::Release);
    }

    /// Returns true if a waker is still on its way to the owner. For the owner, or on the owner's thread.
    pub(crate) fn is_queued(&self) -> bool {
        // Relaxed: this thread is the one that calls `woken` for what wakers bring to it.
        self.bits.load(Ordering::Relaxed) & QUEUED != 0
    }

    /// Forgets tokens of an earlier owner; the new owner calls it before it publishes the block.
    pub(crate) fn reset(&self) {
        self.end_park();
    }
}
