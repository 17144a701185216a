//! Limits of single operations, and the interval of repeated attempts.

use std::time::Duration;

/// The maximum number of bytes that one read or write moves, which is the kernel's maximum.
pub(crate) const COUNT_MAX: usize = 0x7fff_f000;

/// The interval of attempts for conditions that nothing can wait for, such as room in the queue of a Unix socket to
/// which the sending socket is not connected.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(1);
