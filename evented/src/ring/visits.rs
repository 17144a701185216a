//! The executor's visits to the kernel, and the threads that wait until it has come out.
//!
//! Another thread leaves something and then checks whether the executor is inside. The executor announces that it is
//! inside and then looks for what was left. In the same way, a thread announces that it waits and then checks whether
//! the executor is still inside; the executor comes out and then looks for waiting threads. All of these accesses are
//! SeqCst, both here and in the places where things are left, so one of the two sees the other.
//!
//! The models of `tests/loom_visits.rs` run this very file under loom.

use crate::primitive::{AtomicU32, Ordering};

/// The calls of an executor, one after the other.
#[derive(Debug)]
pub(crate) struct Visits {
    /// The number of times that the executor went in or came out: it is odd while the executor is inside. Only the
    /// executor writes it.
    count: AtomicU32,
    /// The number of threads that wait until the executor is outside.
    waiting: AtomicU32,
}

/// One of an executor's calls. An executor that is woken after this value was made leaves the call. So the value must
/// not be made later: by then the executor could be in another call, which nobody ends.
#[derive(Clone, Copy, Debug)]
#[must_use = "the executor is still inside"]
pub(crate) struct Inside(u32);

impl Visits {
    pub(crate) fn new() -> Self {
        Self { count: AtomicU32::new(0), waiting: AtomicU32::new(0) }
    }

    /// Announces that the executor enters the kernel. Afterwards the executor looks for what was left.
    pub(crate) fn go_in(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Announces that the executor has come out. Returns true if a thread has to be notified.
    #[must_use]
    pub(crate) fn come_out(&self) -> bool {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.waiting.load(Ordering::SeqCst) != 0
    }

    /// Called after something was left. Returns the call that the executor is in, if it is inside.
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

    /// Called after `begin_wait`. Returns true if the executor is still in that call.
    pub(crate) fn is_in(&self, Inside(count): Inside) -> bool {
        self.count.load(Ordering::SeqCst) == count
    }
}
