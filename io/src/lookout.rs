//! The lookout: a thread that waits for descriptors on behalf of those who are in no operation on them.
//!
//! Who waits for many things at once parks, and what brings a signal or the end of a child about can wake nobody: a
//! handler of signals takes no lock, and the kernel knows descriptors alone. A child whose handle was dropped is
//! waited for by nobody at all. The thread belongs to the process and to no runtime, so it does not matter through
//! which `Io` anybody waits. It is there while something is watched, and for a moment longer.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{MutexGuard, OnceLock};
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::backend::PerProcess;
use crate::context::{Interest, Unparker};
use crate::primitive::Lock;
use crate::process::Orphan;

/// For how long the thread waits for more when it has nothing to watch.
const IDLE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The lookout of the process.
#[derive(Default)]
struct Lookout {
    /// All that is watched, as one descriptor. Adding to it wakes nobody, and has not to: what can be read from shows in
    /// a wait that has begun before.
    set: OnceLock<OwnedFd>,
    watched: Lock<Watched>,
}

static LOOKOUT: PerProcess<Lookout> = PerProcess::new();

#[derive(Default)]
struct Watched {
    /// By numbers that are in the events too, and are used once.
    told: BTreeMap<u64, Told>,
    last: u64,
    /// Whether the thread is there and will look once more.
    has_thread: bool,
}

/// Who is told that a descriptor can be read from.
enum Told {
    /// A context that waits, again and again.
    Context(Unparker),
    /// Nobody: it is waited for when it has ended.
    Orphan(Orphan),
}

/// A descriptor that is watched for a context.
#[derive(Debug)]
pub(crate) struct Watch(u64);

/// Makes sure that nothing below will need another descriptor.
///
/// # Errors
///
/// When none is left.
pub(crate) fn prepare() -> io::Result<()> {
    set().map(drop)
}

/// From now on `waiter` is woken when the descriptor can be read from, and each time that there is more to read. A
/// descriptor is watched once at a time.
///
/// # Errors
///
/// When the system has no thread or no memory for that.
pub(crate) fn watch(descriptor: BorrowedFd<'_>, waiter: Unparker) -> io::Result<Watch> {
    watch_for(descriptor, Interest::Readable, waiter)
}

/// As [`watch`], for that interest.
///
/// # Errors
///
/// As `watch`.
pub(crate) fn watch_for(descriptor: BorrowedFd<'_>, interest: Interest, waiter: Unparker) -> io::Result<Watch> {
    let set = set()?;
    let mut watched = watched();
    watched.start_thread(set)?;
    let number = watched.add(set, descriptor, interest)?;
    watched.told.insert(number, Told::Context(waiter));
    Ok(Watch(number))
}

/// Ends that. The waiter may still be woken once.
pub(crate) fn unwatch(descriptor: BorrowedFd<'_>, watch: &Watch) {
    watched().told.remove(&watch.0);
    if let Ok(set) = set() {
        remove(set, descriptor);
    }
}

/// Takes over a process whose handle is dropped, and leaves no zombie of it.
pub(crate) fn adopt(orphan: Orphan) {
    let Ok(set) = set() else { return };
    if orphan.has_ended() {
        return;
    }
    let mut watched = watched();
    // Without memory in the kernel for that, it stays a zombie.
    let Ok(number) = watched.add(set, orphan.pidfd(), Interest::Readable) else { return };
    watched.told.insert(number, Told::Orphan(orphan));
    // Where the system gives no thread, the next one that is started will do.
    let _ = watched.start_thread(set);
}

fn set() -> io::Result<&'static OwnedFd> {
    let set = &LOOKOUT.get().set;
    match set.get() {
        Some(set) => Ok(set),
        // One of two that come at the same time is closed again.
        None => {
            epoll::create(epoll::CreateFlags::CLOEXEC).map(|made| set.get_or_init(|| made)).map_err(io::Error::from)
        }
    }
}

fn watched() -> MutexGuard<'static, Watched> {
    LOOKOUT.get().watched.lock()
}

/// A program that is being started has a duplicate for a moment, so closing the descriptor is not enough.
fn remove(set: &OwnedFd, descriptor: BorrowedFd<'_>) {
    // It fails for what is not in the set.
    let _ = epoll::delete(set, descriptor);
}

impl Watched {
    /// Adds a descriptor; the number of its events. There is one for what is there already, and one for each time
    /// that more is there (edge-triggered), whether or not anybody has read.
    fn add(&mut self, set: &OwnedFd, descriptor: BorrowedFd<'_>, interest: Interest) -> io::Result<u64> {
        self.last += 1;
        let events = match interest {
            Interest::Readable => epoll::EventFlags::IN,
            Interest::Writable => epoll::EventFlags::OUT,
            Interest::HungUp => epoll::EventFlags::RDHUP,
        };
        epoll::add(set, descriptor, epoll::EventData::new_u64(self.last), events | epoll::EventFlags::ET)?;
        Ok(self.last)
    }

    fn start_thread(&mut self, set: &'static OwnedFd) -> io::Result<()> {
        if !self.has_thread {
            thread::Builder::new().name("iolite-lookout".into()).spawn(|| look_out(set))?;
            self.has_thread = true;
        }
        Ok(())
    }

    fn tell(&mut self, number: u64, set: &OwnedFd) {
        match self.told.get(&number) {
            Some(Told::Context(waiter)) => waiter.unpark(),
            Some(Told::Orphan(orphan)) if orphan.has_ended() => {
                remove(set, orphan.pidfd());
                self.told.remove(&number);
            }
            // One that goes on; or an event of before the end of a watch.
            Some(Told::Orphan(_)) | None => {}
        }
    }
}

fn look_out(set: &OwnedFd) {
    let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
    loop {
        events.clear();
        // It fails when a signal interrupts it, and leaves `events` empty.
        let _ = epoll::wait(set, spare_capacity(&mut events), Some(&IDLE));
        let mut watched = watched();
        for event in &events {
            watched.tell({ event.data }.u64(), set);
        }
        if events.is_empty() && watched.told.is_empty() {
            watched.has_thread = false;
            return;
        }
    }
}
