//! The wait queue on which every primitive of this module stands.
//!
//! A primitive keeps its state and its queues in one [`Lock`]. A waiter brings a value (what a
//! sender wants to send) or takes one (what a receiver gets, a permit). Its node lives in the stack
//! frame of [`wait`], which does not return, nor unwind, while the node is linked.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use super::forms::Until;
use crate::Io;
use crate::cancel::{TimedOut, WaitError};
use crate::context::{self, Unparker, WaitEnd};
use crate::list::{List, Node};
use crate::primitive::Lock;

/// One waiter, in its own stack frame.
struct Waiter<V> {
    unparker: Unparker,
    /// What the waiter brings, until it is popped; what it was given, afterwards. Touched under the
    /// queue's lock while linked, and by the waiter alone after `done`.
    value: UnsafeCell<Option<V>>,
    /// Release by who popped the node, after its last touch: the frame may be gone afterwards.
    done: AtomicBool,
}

/// Waiters, the longest waiting first. Lives under the primitive's lock.
pub(super) struct WaitQueue<V> {
    waiters: List<Waiter<V>>,
}

impl<V> std::fmt::Debug for WaitQueue<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitQueue").field("len", &self.waiters.len()).finish()
    }
}

impl<V> Default for WaitQueue<V> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: nodes are reached through the list only, under the primitive's lock; what moves between
// threads is `V`.
unsafe impl<V: Send> Send for Waiter<V> {}

/// A waiter that was served: it has to be woken, best after the lock is released.
#[must_use]
#[derive(Debug)]
pub(super) struct Served(Unparker);

impl Served {
    pub(super) fn wake(self) {
        self.0.unpark();
    }
}

/// Waiters that were served under one hold of the lock, to be woken after it. One needs no memory.
#[must_use]
#[derive(Debug, Default)]
pub(super) struct AllServed {
    first: Option<Served>,
    others: Vec<Served>,
}

impl AllServed {
    pub(super) fn extend(&mut self, served: Option<Served>) {
        match self.first {
            None => self.first = served,
            Some(_) => self.others.extend(served),
        }
    }

    pub(super) fn wake(self) {
        self.first.into_iter().chain(self.others).for_each(Served::wake);
    }
}

impl<V> WaitQueue<V> {
    pub(super) const fn new() -> Self {
        Self { waiters: List::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Removes the longest waiting and exchanges its value; `None` when nobody waits.
    fn serve(&mut self, exchange: impl FnOnce(&mut Option<V>)) -> Option<Served> {
        let node = self.waiters.pop_front()?;
        // SAFETY: it was linked until now, so its frame is there, and until `done`.
        let waiter = unsafe { &node.as_ref().value };
        // Copied first: after `done` the frame may be gone.
        let unparker = waiter.unparker;
        // SAFETY: under the lock, and before `done`.
        exchange(unsafe { &mut *waiter.value.get() });
        waiter.done.store(true, Ordering::Release);
        Some(Served(unparker))
    }

    /// Gives `value` to the longest waiting; it comes back when nobody waits.
    pub(super) fn give(&mut self, value: V) -> Result<Served, V> {
        let mut value = Some(value);
        let served = self.serve(|slot| *slot = value.take());
        served.ok_or_else(|| value.take().expect("not given"))
    }

    /// Takes what the longest waiting brought.
    pub(super) fn take(&mut self) -> Option<(V, Served)> {
        let mut value = None;
        let served = self.serve(|slot| value = slot.take())?;
        value.map(|value| (value, served))
    }

    /// What the longest waiting brought.
    pub(super) fn front(&self) -> Option<&V> {
        let waiter = self.waiters.front()?;
        // SAFETY: linked, and under the lock; the queue is borrowed as long as the value is.
        unsafe { &*waiter.value.get() }.as_ref()
    }

    /// What the longest waiting brought, to be changed in its place.
    pub(super) fn front_mut(&mut self) -> Option<&mut V> {
        let waiter = self.waiters.front()?;
        // SAFETY: as in `front`; the queue is borrowed exclusively.
        unsafe { &mut *waiter.value.get() }.as_mut()
    }

    /// Removes the longest waiting and leaves its value to it.
    pub(super) fn release(&mut self) -> Option<Served> {
        self.serve(|_| {})
    }

    /// Removes all who wait, and leaves their values to them.
    pub(super) fn release_all(&mut self) -> AllServed {
        let mut all = AllServed::default();
        while !self.is_empty() {
            all.extend(self.release());
        }
        all
    }
}

/// A waiter that gave up, and was given nothing.
#[derive(Debug)]
pub(super) struct GaveUp<V> {
    /// What it had brought.
    pub(super) brought: Option<V>,
    pub(super) why: WaitError,
}

impl<V> From<GaveUp<V>> for WaitError {
    fn from(gave_up: GaveUp<V>) -> Self {
        gave_up.why
    }
}

/// Links the caller into a queue, releases the lock, and waits; returns the value with which the
/// waiter was served.
///
/// The caller has passed its cancellation point already.
///
/// # Errors
///
/// [`GaveUp`]: the node was removed, and the lock released since. If others wait behind it for
/// something that is there already, it is on the caller to serve them.
///
/// # Panics
///
/// Inside `no_suspend`, before anything is linked.
pub(super) fn wait<S, V>(
    io: &dyn Io,
    lock: &Lock<S>,
    mut state: MutexGuard<'_, S>,
    queue: impl Fn(&mut S) -> &mut WaitQueue<V>,
    brought: Option<V>,
    until: Until,
) -> Result<Option<V>, GaveUp<V>> {
    let unparker = context::current(|context| {
        context.assert_may_suspend();
        context.unparker()
    });
    let node = Node::new(Waiter { unparker, value: UnsafeCell::new(brought), done: AtomicBool::new(false) });
    let pointer = NonNull::from(&node);
    // SAFETY: this function leaves only when the node was popped or removed; the waits in between
    // abort instead of unwinding, and nothing else here panics.
    unsafe { queue(&mut state).waiters.push_back(pointer) };
    drop(state);

    let done = || node.value.done.load(Ordering::Acquire);
    let end = match until {
        Until::Served => {
            context::wait_uncancelable(io, done, |_| {});
            None
        }
        Until::Canceled => context::wait(io, None, done).err(),
        Until::Deadline(deadline) => context::wait(io, Some(deadline), done).err(),
    };
    let Some(end) = end else {
        return Ok(node.value.value.into_inner());
    };
    let mut state = lock.lock();
    // SAFETY: in this queue, or popped from it.
    let gave_up = unsafe { queue(&mut state).waiters.remove(pointer) };
    drop(state);
    // Popping and `done` happen under one hold of the lock, so no wait is needed here.
    let value = node.value.value.into_inner();
    match end {
        WaitEnd::Canceled(canceled) if gave_up => Err(GaveUp { brought: value, why: canceled.into() }),
        WaitEnd::TimedOut if gave_up => Err(GaveUp { brought: value, why: TimedOut.into() }),
        // Completion wins, and the request stays pending.
        WaitEnd::Canceled(canceled) => {
            io.recancel(canceled);
            Ok(value)
        }
        WaitEnd::TimedOut => Ok(value),
    }
}
