//! Whether an executor is inside of the kernel, and who waits until it has come out.
//!
//! Another thread leaves something and then looks whether the executor is inside; the executor says that it is and then
//! looks for what was left. In the same way, a thread says that it waits and then looks whether the executor is still
//! inside; the executor comes out and then looks for those who wait. All of these accesses are SeqCst, here and in what
//! things are left in, so one of the two sees the other.
//!
//! The models of `tests/loom_visits.rs` run this very file under loom.

use crate::primitive::{AtomicU32, Ordering};

/// An executor's calls, one after the other.
#[derive(Debug)]
pub(crate) struct Visits {
    /// How often the executor went in or came out: odd while it is inside. Written by the executor alone.
    count: AtomicU32,
    /// How many threads wait until it is outside.
    waiting: AtomicU32,
}

/// One of an executor's calls. An executor that is woken after this was made leaves the call, so it must not be made later:
/// the executor could be in another one by then, which nobody ends.
#[derive(Clone, Copy, Debug)]
#[must_use = "the executor is still inside"]
pub(crate) struct Inside(u32);

impl Visits {
    pub(crate) fn new() -> Self {
        Self { count: AtomicU32::new(0), waiting: AtomicU32::new(0) }
    }

    /// The executor enters the kernel; afterwards it looks for what was left.
    pub(crate) fn go_in(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// The executor has come out; whether somebody has to be told.
    #[must_use]
    pub(crate) fn come_out(&self) -> bool {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.waiting.load(Ordering::SeqCst) != 0
    }

    /// After something was left: in which call the executor is, if it is inside.
    pub(crate) fn look(&self) -> Option<Inside> {
        let count = self.count.load(Ordering::SeqCst);
        (count & 1 == 1).then_some(Inside(count))
    }

    /// Announces that the calling thread waits.
    pub(crate) fn begin_wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes the announcement back.
    pub(crate) fn end_wait(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// After `begin_wait`: whether the executor is still in that call.
    pub(crate) fn is_in(&self, Inside(count): Inside) -> bool {
        self.count.load(Ordering::SeqCst) == count
    }
}
