//! The fd watcher: a thread that waits for descriptors on behalf of contexts that perform no operation on them.
//!
//! A context that waits for several sources parks, and neither a signal nor the end of a child can wake it directly: a
//! signal handler takes no lock, and the kernel reports both only through descriptors. And a child whose handle was
//! dropped has no context that waits for it. The thread belongs to the process and to no runtime, so contexts can wait
//! through any `Io`. It runs while something is watched, and for a moment longer.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{MutexGuard, OnceLock};
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::context::Unparker;
use crate::operation::Interest;
use crate::primitive::Lock;
use crate::sys::per_process::PerProcess;

/// The time that the thread waits for new descriptors when it has none to watch.
const IDLE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The fd watcher of the process.
#[derive(Default)]
struct FdWatcher {
    /// An epoll set of everything that is watched. Adding a descriptor does not have to wake the thread: a wait in
    /// progress also reports descriptors that are added later.
    set: OnceLock<OwnedFd>,
    watched: Lock<Watched>,
}

static FD_WATCHER: PerProcess<FdWatcher> = PerProcess::new();

#[derive(Default)]
struct Watched {
    /// The watchers by number; events carry the same numbers. A number is used once.
    watchers: BTreeMap<u64, Watcher>,
    last: u64,
    /// Set while the thread runs and will look at `watchers` once more.
    has_thread: bool,
}

/// Says what the thread does when a descriptor becomes readable.
enum Watcher {
    /// Wakes a context, each time.
    Context(Unparker),
    /// Reaps a process and then forgets it.
    Orphan(Box<dyn Orphan>),
}

/// A process whose handle was dropped.
pub(crate) trait Orphan: Send {
    /// Returns the descriptor that becomes readable when the process has ended.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Reaps the process if it has ended. Returns true if nothing is left to wait for.
    fn has_ended(&self) -> bool;
}

/// A descriptor that is watched for a context.
#[derive(Debug)]
pub(crate) struct Watch(u64);

/// Makes sure that the functions below will not need another descriptor.
///
/// # Errors
///
/// Returns an error if no descriptor is left.
pub(crate) fn prepare() -> io::Result<()> {
    set().map(drop)
}

/// Wakes `waiter` when the descriptor becomes readable, and each time that more arrives. A descriptor can be watched
/// only once at a time.
///
/// # Errors
///
/// Returns an error if the system has no thread or no memory for the watch.
pub(crate) fn watch(descriptor: BorrowedFd<'_>, waiter: Unparker) -> io::Result<Watch> {
    watch_for(descriptor, Interest::Readable, waiter)
}

/// Does the same as [`watch`], for `interest`.
///
/// # Errors
///
/// See [`watch`].
pub(crate) fn watch_for(descriptor: BorrowedFd<'_>, interest: Interest, waiter: Unparker) -> io::Result<Watch> {
    let set = set()?;
    let mut watched = watched();
    watched.start_thread(set)?;
    let number = watched.add(set, descriptor, interest)?;
    watched.watchers.insert(number, Watcher::Context(waiter));
    Ok(Watch(number))
}

/// Ends a watch. The thread may still wake the waiter once.
pub(crate) fn unwatch(descriptor: BorrowedFd<'_>, watch: &Watch) {
    watched().watchers.remove(&watch.0);
    if let Ok(set) = set() {
        remove(set, descriptor);
    }
}

/// Takes over a process whose handle was dropped, so that it leaves no zombie.
pub(crate) fn adopt(orphan: impl Orphan + 'static) {
    let Ok(set) = set() else { return };
    if orphan.has_ended() {
        return;
    }
    let mut watched = watched();
    // If the kernel has no memory for that, the process stays a zombie.
    let Ok(number) = watched.add(set, orphan.descriptor(), Interest::Readable) else { return };
    watched.watchers.insert(number, Watcher::Orphan(Box::new(orphan)));
    // If the system provides no thread now, the next thread that is started reaps the process.
    let _ = watched.start_thread(set);
}

fn set() -> io::Result<&'static OwnedFd> {
    let set = &FD_WATCHER.get().set;
    match set.get() {
        Some(set) => Ok(set),
        // If two threads make one at the same time, one of the two is closed again.
        None => {
            epoll::create(epoll::CreateFlags::CLOEXEC).map(|made| set.get_or_init(|| made)).map_err(io::Error::from)
        }
    }
}

fn watched() -> MutexGuard<'static, Watched> {
    FD_WATCHER.get().watched.lock()
}

/// Removes a descriptor from the set. Closing it is not enough, because a program that is being started has a duplicate
/// for a moment.
fn remove(set: &OwnedFd, descriptor: BorrowedFd<'_>) {
    // Fails if the descriptor is not in the set.
    let _ = epoll::delete(set, descriptor);
}

impl Watched {
    /// Adds a descriptor and returns the number of its events. There is one event for data that is available already,
    /// and one each time that more arrives (edge-triggered), whether or not it was read in between.
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
            thread::Builder::new().name("iolite-fd-watch".into()).spawn(|| run(set))?;
            self.has_thread = true;
        }
        Ok(())
    }

    fn handle_event(&mut self, number: u64, set: &OwnedFd) {
        match self.watchers.get(&number) {
            Some(Watcher::Context(waiter)) => waiter.unpark(),
            Some(Watcher::Orphan(orphan)) if orphan.has_ended() => {
                remove(set, orphan.descriptor());
                self.watchers.remove(&number);
            }
            // The process goes on, or the event is older than the end of a watch.
            Some(Watcher::Orphan(_)) | None => {}
        }
    }
}

/// The body of the thread.
fn run(set: &OwnedFd) {
    let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
    loop {
        events.clear();
        // It fails when a signal interrupts it, and leaves `events` empty.
        let _ = epoll::wait(set, spare_capacity(&mut events), Some(&IDLE));
        let mut watched = watched();
        for event in &events {
            watched.handle_event({ event.data }.u64(), set);
        }
        if events.is_empty() && watched.watchers.is_empty() {
            watched.has_thread = false;
            return;
        }
    }
}
