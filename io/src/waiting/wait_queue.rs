//! The wait queue on which locks, channels and all other parts of [`sync`](crate::sync) stand.
//!
//! A primitive keeps its state and its queues in one [`Lock`](crate::primitive::Lock). A waiter brings a value (the
//! item of a sender) or takes one (the item for a receiver). It links a [`Place`] of its own stack frame into the
//! queue; the context that unlinks the place decides the wait. A waiter that stands in several queues has a [`Choice`],
//! which is decided first.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use super::choice::{Choice, Undecided, decide};
use crate::context::Unparker;
use crate::list::{List, Node};
use crate::primitive::{AtomicBool, Ordering, UnsafeCell};

/// The place of a waiter in a queue, in its own stack frame.
pub(crate) struct Place<V>(Node<Waiter<V>>);

struct Waiter<V> {
    unparker: Unparker,
    /// Set for a waiter that stands in several queues. The choice is alive and does not move while this is linked.
    choice: Option<NonNull<Choice>>,
    /// Until the waiter is served, the value that it brings; afterwards, the value that it was given. While the place
    /// is linked, the holder of the queue's lock touches this; afterwards only the waiter does.
    value: UnsafeCell<Option<V>>,
    /// Set, with Release, by the context that serves the waiter, as its last access: the frame of a waiter without a
    /// choice may be gone afterwards.
    served: AtomicBool,
}

// SAFETY: places are reached through the list only, under the primitive's lock; what moves between
// threads is `V`. A choice is shared by all who reach a place that has it.
unsafe impl<V: Send> Send for Waiter<V> {}

impl<V> Place<V> {
    /// Makes the place of a waiter that brings this value. A waiter with several places has a choice.
    pub(crate) fn new(unparker: Unparker, choice: Option<&Choice>, brought: Option<V>) -> Self {
        let choice = choice.map(NonNull::from);
        Self(Node::new(Waiter { unparker, choice, value: UnsafeCell::new(brought), served: AtomicBool::new(false) }))
    }

    /// Links the place at the end of the queue, whose lock the caller holds.
    ///
    /// # Safety
    ///
    /// It is linked for the first time. It and its choice stay alive and where they are until it was served or
    /// has [left](Self::leave), one with a choice until it has left.
    pub(crate) unsafe fn enter(&self, queue: &mut WaitQueue<V>) {
        // SAFETY: the caller says that it was in no list, and keeps it alive and in place until it was served, which
        // unlinks it first, or has left.
        unsafe { queue.waiters.push_back(NonNull::from(&self.0)) };
    }

    /// Unlinks the place, if it is still linked. The caller holds the queue's lock.
    ///
    /// # Safety
    ///
    /// If it was linked, it was into this queue.
    pub(crate) unsafe fn leave(&self, queue: &mut WaitQueue<V>) {
        // SAFETY: `self` is borrowed, so the node is alive. The caller says that it was linked into this queue, if ever; so
        // it is in this list, or in none since somebody has unlinked it.
        unsafe { queue.waiters.remove(NonNull::from(&self.0)) };
    }

    /// Returns true if the waiter was served. The context that serves it also unlinks it, under the same hold of the
    /// queue's lock.
    pub(crate) fn is_served(&self) -> bool {
        self.0.value.served.load(Ordering::Acquire)
    }

    /// Takes the value that the waiter was given, or the value that it had brought if it was not served.
    ///
    /// # Safety
    ///
    /// It is not linked, and nobody serves it.
    pub(crate) unsafe fn take_value(&self) -> Option<V> {
        // SAFETY: the caller says that it is not linked, so nobody else reaches it, and what was done to it under the
        // lock came before.
        self.0.value.value.with_mut(|value| unsafe { (*value).take() })
    }

    /// Returns the value that the waiter was given, or the value that it had brought if it was not served.
    pub(crate) fn into_value(self) -> Option<V> {
        // SAFETY: it is not linked any more, or it could not be moved; so it was served, or has left, or never entered.
        unsafe { self.take_value() }
    }
}

/// Waiters in order of arrival. The queue lives under the primitive's lock.
pub(crate) struct WaitQueue<V> {
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

/// A waiter that was served and has to be woken, best after the lock is released.
#[must_use]
#[derive(Debug)]
pub(crate) struct Served(Unparker);

impl Served {
    pub(crate) fn wake(self) {
        self.0.unpark();
    }
}

/// The result of a [meeting](WaitQueue::meet).
#[must_use]
#[derive(Debug)]
pub(crate) enum Met {
    Nobody,
    /// The first waiter wants more.
    Waits,
    Served(Served),
}

/// Waiters that were served under one hold of the lock and have to be woken after it. A single one takes no memory.
#[must_use]
#[derive(Debug, Default)]
pub(crate) struct AllServed {
    first: Option<Served>,
    others: Vec<Served>,
}

impl AllServed {
    pub(crate) fn extend(&mut self, served: Option<Served>) {
        match self.first {
            None => self.first = served,
            Some(_) => self.others.extend(served),
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    #[inline]
    pub(crate) fn wake(self) {
        let Some(first) = self.first else { return };
        first.wake();
        if !self.others.is_empty() {
            Self::wake_others(self.others);
        }
    }

    #[cold]
    fn wake_others(others: Vec<Served>) {
        others.into_iter().for_each(Served::wake);
    }
}

impl From<Option<Served>> for AllServed {
    fn from(served: Option<Served>) -> Self {
        Self { first: served, others: Vec::new() }
    }
}

impl<V> WaitQueue<V> {
    pub(crate) const fn new() -> Self {
        Self { waiters: List::new() }
    }

    /// Returns true if no place is linked. A waiter whose place is linked may already have been served through
    /// another queue.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Returns true if the first place belongs to `comer`.
    pub(crate) fn is_first(&self, comer: &Choice) -> bool {
        // SAFETY: a node that is linked is alive until somebody unlinks it, which needs `&mut` of this queue.
        let choice = self.waiters.first().and_then(|node| unsafe { node.as_ref() }.value.choice);
        choice.is_some_and(|choice| ptr::eq(choice.as_ptr(), comer))
    }

    /// Exchanges the value of the first waiter that can be served, and serves that waiter. Returns `None` if there is
    /// none.
    #[inline]
    fn serve(
        &mut self,
        comer: Option<&Choice>,
        wants: impl Fn(Option<&V>) -> bool,
        exchange: impl FnOnce(&mut Option<V>),
    ) -> Option<Served> {
        let node = self.find(comer, wants)?;
        // SAFETY: linked, so its frame is there.
        let value = unsafe { &node.as_ref().value.value };
        // SAFETY: under the lock, and its waiter does not touch it while it is linked.
        value.with_mut(|value| exchange(unsafe { &mut *value }));
        Some(self.let_go(node))
    }

    /// Finds the first waiter that can be served, and decides for it and for `comer` that they meet. Returns `None` if
    /// no waiter can be served, if the first one does not want to be, or if `comer` was served elsewhere.
    #[inline]
    fn find(&mut self, comer: Option<&Choice>, wants: impl Fn(Option<&V>) -> bool) -> Option<NonNull<Node<Waiter<V>>>> {
        let first = self.waiters.first()?;
        // SAFETY: linked, so its frame is there.
        let waiter = unsafe { &first.as_ref().value };
        if waiter.choice.is_some() || comer.is_some() {
            return self.decide_slow(comer, &wants);
        }
        // SAFETY: under the lock, and its waiter does not touch it while it is linked.
        waiter.value.with(|value| wants(unsafe { (*value).as_ref() })).then_some(first)
    }

    /// Unlinks a waiter that was [found](Self::find), and marks it as served.
    #[inline]
    fn let_go(&mut self, node: NonNull<Node<Waiter<V>>>) -> Served {
        // SAFETY: `find` found it in this list, and nobody has unlinked it since: that needs `&mut` of this queue.
        unsafe { self.waiters.remove(node) };
        // SAFETY: its frame waits until `served` is set, or leaves under the lock, which the caller holds. Nobody else
        // serves it: it had no choice, or its choice was decided for this.
        let waiter = unsafe { &node.as_ref().value };
        // Copied before the store: after it, the waiter may return, and its frame be gone.
        let unparker = waiter.unparker;
        waiter.served.store(true, Ordering::Release);
        Served(unparker)
    }

    /// The slow path, for places whose waiters have a choice. Unlinks waiters that were served through other queues.
    ///
    /// If a place is not ready to be served, only other places of its waiter may be served before it.
    #[cold]
    fn decide_slow(
        &mut self,
        comer: Option<&Choice>,
        wants: &impl Fn(Option<&V>) -> bool,
    ) -> Option<NonNull<Node<Waiter<V>>>> {
        let mut next = self.waiters.first();
        let mut ahead: Option<NonNull<Choice>> = None;
        while let Some(node) = next {
            // SAFETY: linked, so its frame is there, and that of its choice.
            let waiter = unsafe { &node.as_ref().value };
            // SAFETY: it is in this list.
            next = unsafe { self.waiters.after(node) };
            if ahead.is_some() && waiter.choice != ahead {
                continue;
            }
            // SAFETY: a choice stays until its waiter has left every queue.
            let choice = waiter.choice.map(|choice| unsafe { choice.as_ref() });
            // SAFETY: under the lock, and its waiter does not touch it while it is linked.
            if !waiter.value.with(|value| wants(unsafe { (*value).as_ref() })) {
                if !choice.is_some_and(Choice::may_stand_twice) {
                    return None;
                }
                ahead = waiter.choice;
                continue;
            }
            match decide(comer, choice) {
                Ok(()) => return Some(node),
                Err(Undecided::Comer) => return None,
                Err(Undecided::Same) => {}
                // SAFETY: it is in this list.
                Err(Undecided::Waiter) => _ = unsafe { self.waiters.remove(node) },
            }
        }
        None
    }

    /// Gives `value` to the first waiter, or returns it if no waiter takes it.
    #[inline]
    pub(crate) fn give(&mut self, value: V, comer: Option<&Choice>) -> Result<Served, V> {
        if self.is_empty() {
            return Err(value);
        }
        let mut value = Some(value);
        let served = self.serve(comer, |_| true, |slot| *slot = value.take());
        served.ok_or_else(|| value.take().expect("not given"))
    }

    /// Takes the value that the first waiter brought.
    #[inline]
    pub(crate) fn take(&mut self, comer: Option<&Choice>) -> Option<(V, Served)> {
        let mut value = None;
        let served = self.serve(comer, |_| true, |slot| value = slot.take())?;
        value.map(|value| (value, served))
    }

    /// Takes the value that the first waiter brought, if `wanted` returns true for it.
    pub(crate) fn take_if(&mut self, wanted: impl Fn(&V) -> bool) -> Option<(V, Served)> {
        let mut value = None;
        let served = self.serve(None, |brought| brought.is_some_and(&wanted), |slot| value = slot.take())?;
        value.map(|value| (value, served))
    }

    /// Takes the value of the first waiter for whose value `wanted` returns true.
    pub(crate) fn take_wanted(&mut self, comer: Option<&Choice>, wanted: impl Fn(&V) -> bool) -> Option<(V, Served)> {
        let mut next = self.waiters.first();
        while let Some(node) = next {
            // SAFETY: it is in this list.
            next = unsafe { self.waiters.after(node) };
            // SAFETY: linked, so its frame is there, and that of its choice.
            let waiter = unsafe { &node.as_ref().value };
            // SAFETY: a choice stays until its waiter has left every queue.
            let choice = waiter.choice.map(|choice| unsafe { choice.as_ref() });
            // SAFETY: under the lock, and its waiter does not touch it while it is linked.
            if !waiter.value.with(|value| unsafe { (*value).as_ref() }.is_some_and(&wanted)) {
                continue;
            }
            match decide(comer, choice) {
                Ok(()) => {
                    // SAFETY: as above; nobody else has a reference into it.
                    let value = waiter.value.with_mut(|value| unsafe { (*value).take() })?;
                    return Some((value, self.let_go(node)));
                }
                Err(Undecided::Comer) => return None,
                Err(Undecided::Same) => {}
                // SAFETY: it is in this list.
                Err(Undecided::Waiter) => _ = unsafe { self.waiters.remove(node) },
            }
        }
        None
    }

    /// Lets the first waiter that can be served exchange a part of the value that it brought, in place. If `exchange`
    /// returns true, the waiter is served. Otherwise the waiter keeps waiting. A waiter with a choice must be
    /// served, because its choice is already decided.
    pub(crate) fn meet(&mut self, comer: Option<&Choice>, exchange: impl FnOnce(&mut V) -> bool) -> Met {
        let Some(node) = self.find(comer, |brought| brought.is_some()) else { return Met::Nobody };
        // SAFETY: linked, so its frame is there.
        let waiter = unsafe { &node.as_ref().value };
        // SAFETY: under the lock, and its waiter does not touch it while it is linked.
        if waiter.value.with_mut(|value| unsafe { (*value).as_mut() }.is_some_and(exchange)) {
            return Met::Served(self.let_go(node));
        }
        debug_assert!(waiter.choice.is_none(), "one that waits elsewhere too is served when it is met");
        Met::Waits
    }

    /// Serves the first waiter and leaves its value to it.
    pub(crate) fn release(&mut self) -> Option<Served> {
        self.serve(None, |_| true, |_| {})
    }

    /// Serves the first waiters for whose values `wanted` returns true, at most `count`, and leaves their values to
    /// them. The others keep their places.
    pub(crate) fn release_some(&mut self, count: usize, wanted: impl Fn(&V) -> bool) -> AllServed {
        let mut some = AllServed::default();
        let mut next = self.waiters.first();
        while let Some(node) = next.filter(|_| some.len() < count) {
            // SAFETY: it is in this list.
            next = unsafe { self.waiters.after(node) };
            // SAFETY: linked, so its frame is there, and that of its choice.
            let waiter = unsafe { &node.as_ref().value };
            // SAFETY: a choice stays until its waiter has left every queue.
            let choice = waiter.choice.map(|choice| unsafe { choice.as_ref() });
            // SAFETY: under the lock, and its waiter does not touch it while it is linked.
            let is_wanted = waiter.value.with(|value| unsafe { (*value).as_ref() }.is_some_and(&wanted));
            if is_wanted && decide(None, choice).is_ok() {
                some.extend(Some(self.let_go(node)));
            }
        }
        some
    }

    /// Serves all waiters and leaves their values to them.
    pub(crate) fn release_all(&mut self) -> AllServed {
        let mut all = AllServed::default();
        while let Some(served) = self.release() {
            all.extend(Some(served));
        }
        all
    }
}
