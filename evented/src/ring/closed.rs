//! The rings that this process has closed a moment ago.
//!
//! The kernel frees a ring in the background, after the close has returned. Until then, the memory of the ring counts
//! against RLIMIT_MEMLOCK, so a process that ends one runtime and starts the next could find no memory for it.

use std::time::Duration;

use iolite_io::Instant;
use iolite_io::backend::{Lock, PerProcess, monotonic_now};

/// How long after a close the kernel is expected to give memory back. It takes some milliseconds, and longer if the machine
/// is busy.
const FREED_WITHIN: Duration = Duration::from_secs(1);

static LAST_CLOSE: PerProcess<Lock<Option<Instant>>> = PerProcess::new();

/// Notes that a ring was closed.
pub(super) fn note_close() {
    *LAST_CLOSE.get().lock() = Some(monotonic_now());
}

/// Returns true if the kernel may still be freeing a ring of this process.
pub(super) fn may_be_freed_soon() -> bool {
    LAST_CLOSE.get().lock().is_some_and(|closed| monotonic_now() - closed < FREED_WITHIN)
}
