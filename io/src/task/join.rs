//! The join word of a task: one atomic that says who may touch the task's slot.
//!
//! ```text
//!                  watch (handle)
//!      RUNNING ───────────────────▶ waiter        watch and unwatch go both ways,
//!         │    ◀───────────────────   │           from ENDED too
//!         │       unwatch (handle)    │
//!         │ end (runner)              │ end (runner): the waiter comes out
//!         ▼                           ▼
//!       ENDED ────────────────────▶ DONE
//!         │      finish (runner)      │
//!         ▼                           ▼
//!      DETACHED  by detach (handle), from every state
//! ```
//!
//! The slot belongs to the runner until `end`. From `end` on it belongs to the handle, which takes the
//! result after `DONE`, or disposes of it when it detaches. A runner that finds `DETACHED` at its `end`
//! keeps the slot, and disposes of the result itself. The models of `tests/loom_join.rs` run this very file under loom.

use std::ptr;

use crate::primitive::{AtomicPtr, Ordering};

/// The word. `W` is the type through which a waiter is woken.
#[derive(Debug)]
pub(crate) struct JoinWord<W>(AtomicPtr<W>);

/// The state that a runner finds when its task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<W> {
    /// The handle is gone, so the result stays with the runner.
    Detached,
    /// The result belongs to the handle from now on. The pointer is the waiter, if there is one.
    Handed(Option<*mut W>),
}

/// A waiter in the word.
#[derive(Debug)]
pub(crate) struct Watch<W> {
    waiter: *mut W,
    /// The word that the waiter has replaced.
    before: *mut W,
}

impl<W> Clone for Watch<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Watch<W> {}

impl<W> JoinWord<W> {
    /// The closure has not ended. Set by `new`.
    const RUNNING: *mut W = ptr::null_mut();
    /// The task has ended, and its resources are free. Set by the runner, in `finish`.
    const DONE: *mut W = ptr::without_provenance_mut(1);
    /// There is no handle any more. Set by the handle, in `detach`.
    const DETACHED: *mut W = ptr::without_provenance_mut(2);
    /// The result is in the slot. Set by the runner, in `end`.
    const ENDED: *mut W = ptr::without_provenance_mut(3);

    /// Makes the word of a task that has not ended.
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(Self::RUNNING))
    }

    /// Makes the word of a task that ended before it had a handle.
    pub(crate) fn done() -> Self {
        Self(AtomicPtr::new(Self::DONE))
    }

    /// Returns true if the result can be taken. For the handle.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        // Acquire: pairs with the Release of `finish`.
        self.0.load(Ordering::Acquire) == Self::DONE
    }

    /// Says that the result is in the slot. Called by the runner, once.
    #[inline]
    #[must_use]
    pub(crate) fn end(&self) -> End<W> {
        // Release: publishes the slot to the handle, which may be detached before `finish`. No Acquire is needed: the
        // waiter is not touched before `finish`, whose Acquire reaches back to the waiter's Release over this update.
        let word = self.0.swap(Self::ENDED, Ordering::Release);
        if word == Self::DETACHED { End::Detached } else { End::Handed(Self::waiter(word)) }
    }

    /// Says that the resources of the task are free. Called by the runner, once, after an `end` that handed the result
    /// over. Returns the waiter that has come since. The runner wakes that one, and the one that `end` returned, after
    /// this call.
    #[inline]
    #[must_use]
    pub(crate) fn finish(&self) -> Option<*mut W> {
        // Release: the freed resources are free for a thread that sees `DONE`. Acquire: the waiters are initialized. A
        // handle that was detached since `end` has disposed of the result, and the word does not matter any more.
        Self::waiter(self.0.swap(Self::DONE, Ordering::AcqRel))
    }

    /// Does `end` and `finish` in one step, for a handle that waits below the task on the same context, so that nobody
    /// else looks.
    #[inline]
    pub(crate) fn finish_here(&self) {
        // Relaxed: the same thread reads it.
        self.0.store(Self::DONE, Ordering::Relaxed);
    }

    /// Registers `waiter` to be woken when the task ends. Returns `None` if it has ended. Called by the handle, which
    /// has at most one watch at a time.
    pub(crate) fn watch(&self, waiter: *mut W) -> Option<Watch<W>> {
        // Release: the waiter is initialized. Acquire on failure: the task has ended.
        let announce = |word| self.0.compare_exchange(word, waiter, Ordering::Release, Ordering::Acquire);
        let announced =
            announce(Self::RUNNING).or_else(|word| if word == Self::ENDED { announce(word) } else { Err(word) });
        announced.ok().map(|before| Watch { waiter, before })
    }

    /// Removes a waiter. Called by the handle.
    pub(crate) fn unwatch(&self, Watch { waiter, before }: Watch<W>) {
        // It fails if the task has removed the waiter. Relaxed: it publishes nothing but the word itself, and as a
        // read-modify-write it keeps what `end` has published there for a later `detach`.
        let _ = self.0.compare_exchange(waiter, before, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Marks the handle as gone. Returns true if the result is in the slot, so that the handle has to dispose of it.
    #[must_use]
    pub(crate) fn detach(&self) -> bool {
        // Acquire: pairs with the Release of `end` and `finish`. No Release is needed: a handle that goes has touched
        // nothing that the runner touches.
        let word = self.0.swap(Self::DETACHED, Ordering::Acquire);
        word == Self::ENDED || word == Self::DONE
    }

    fn waiter(word: *mut W) -> Option<*mut W> {
        let is_state = [Self::RUNNING, Self::ENDED, Self::DETACHED].contains(&word);
        (!is_state).then_some(word)
    }
}
