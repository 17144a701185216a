//! Room for many descriptors, before there are many.

use std::os::fd::RawFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// For so many there is room from the beginning. The kernel needs 9 bytes for each.
const ROOM: u64 = 16_384;

/// Has the kernel make the process's table of descriptors large enough for many, or for as many as the process may have.
///
/// The table grows when a number does not fit, with the first descriptor past 64, 128, 256 and so on. Where threads share it,
/// that call first waits until no processor uses the old table, which takes 5 to 20 ms: an executor that accepts a
/// connection would be away from all of its fibers for as long.
pub fn make_room_for_descriptors() {
    let may_have = getrlimit(Resource::Nofile).current.unwrap_or(ROOM).min(ROOM);
    // Who has no descriptor left has no use for room. The descriptors are closed here, and the room stays.
    if let Ok(event) = eventfd(0, EventfdFlags::CLOEXEC) {
        _ = fcntl_dupfd_cloexec(&event, may_have.saturating_sub(1) as RawFd);
    }
}
