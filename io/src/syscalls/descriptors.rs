//! Making room for many descriptors before they are opened.

use std::os::fd::RawFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// The number of descriptors for which there is room from the beginning. The kernel needs 9 bytes for each.
const ROOM: u64 = 16_384;

/// Makes the kernel grow the process's table of descriptors to hold many, or as many as the process may have.
///
/// The table grows when a number does not fit, with the first descriptor past 64, 128, 256 and so on. If threads share
/// the table, that call first waits until no processor uses the old table, which takes 5 to 20 ms: an executor that
/// accepts a connection would keep all of its fibers waiting for as long.
pub fn make_room_for_descriptors() {
    let may_have = getrlimit(Resource::Nofile).current.unwrap_or(ROOM).min(ROOM);
    // A process without a free descriptor has no use for room. The descriptors are closed here, and the room stays.
    if let Ok(event) = eventfd(0, EventfdFlags::CLOEXEC) {
        _ = fcntl_dupfd_cloexec(&event, may_have.saturating_sub(1) as RawFd);
    }
}
