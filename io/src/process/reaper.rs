//! The end of children that nobody waits for any more.
//!
//! Handles know no `Io` and their drops do not suspend; so a thread waits, which belongs to the process and to no
//! runtime. It is there while there is something to wait for.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::child::Running;
use crate::primitive::Lock;

/// The ends of all orphans as one descriptor. Adding to it wakes nobody, and has not to: an orphan that has ended shows
/// in a wait that has begun before.
static ENDS: OnceLock<OwnedFd> = OnceLock::new();

static ORPHANS: Lock<Orphans> = Lock::new(Orphans { running: BTreeMap::new(), has_thread: false });

struct Orphans {
    /// By their numbers, which are in the events too.
    running: BTreeMap<u64, Running>,
    /// Whether the thread is there and will look once more.
    has_thread: bool,
}

/// Makes sure that [`adopt`] will need no descriptor.
pub(super) fn prepare() -> io::Result<()> {
    if ENDS.get().is_none() {
        // One of two that come at the same time is closed again.
        let _ = ENDS.set(epoll::create(epoll::CreateFlags::CLOEXEC)?);
    }
    Ok(())
}

/// Takes a process over whose handle is dropped.
pub(super) fn adopt(orphan: Running) {
    let Some(ends) = ENDS.get() else { return };
    if has_ended(&orphan) {
        return;
    }
    let mut orphans = ORPHANS.lock();
    // Without memory in the kernel for that, it stays a zombie.
    let _ = epoll::add(ends, orphan.pidfd(), epoll::EventData::new_u64(orphan.number()), epoll::EventFlags::IN);
    orphans.running.insert(orphan.number(), orphan);
    if !orphans.has_thread {
        // Where the system gives no thread, the next orphan's will do.
        orphans.has_thread = thread::Builder::new().name("iolite-reaper".into()).spawn(|| reap(ends)).is_ok();
    }
}

fn reap(ends: &OwnedFd) {
    let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
    loop {
        events.clear();
        // It fails when a signal interrupts it, and leaves `events` empty.
        let _ = epoll::wait(ends, spare_capacity(&mut events), None);
        let mut orphans = ORPHANS.lock();
        for event in &events {
            let number = { event.data }.u64();
            if orphans.running.get(&number).is_some_and(has_ended)
                && let Some(orphan) = orphans.running.remove(&number)
            {
                // A program that is being started has a duplicate for a moment, so closing is not enough.
                let _ = epoll::delete(ends, orphan.pidfd());
            }
        }
        if orphans.running.is_empty() {
            orphans.has_thread = false;
            return;
        }
    }
}

/// Whether there is nothing to wait for any more; somebody else may have waited.
fn has_ended(orphan: &Running) -> bool {
    !matches!(orphan.try_wait(), Ok(None))
}
