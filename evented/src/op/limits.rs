//! How much the kernel takes at once, and how soon to try again what nothing can wait for.

use std::time::Duration;

/// The most bytes that one read or write moves: what the kernel moves at most.
pub(crate) const COUNT_MAX: usize = 0x7fff_f000;

/// How soon to look again for what nothing can wait for: room in the queue of a Unix socket that the own one is not
/// connected to.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The most buffers the kernel takes in one call (UIO_MAXIOV).
pub(crate) const BUFFERS_MAX: usize = 1024;
