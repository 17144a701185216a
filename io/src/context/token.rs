//! The state that a cancellation token shares with the contexts that it binds.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::block::Unparker;
use crate::primitive::Lock;

/// A token. It keeps the tokens above it alive, and they know it by its place among their children.
pub(crate) struct Node {
    /// The same as in `state`, for cancellation points, which check often. Written under the lock of `state`.
    canceled: AtomicBool,
    state: Lock<State>,
    /// The token above, and the index of this one among its children.
    parent: Option<(Arc<Node>, usize)>,
}

#[derive(Default)]
struct State {
    canceled: bool,
    children: Slots<Weak<Node>>,
    /// The contexts that the token wakes: they run code that it cancels, or wait for it.
    bound: Slots<Unparker>,
}

/// Names a context that a token wakes, until it is [unbound](Node::unbind).
#[derive(Debug)]
pub(crate) struct Bound(usize);

impl Node {
    /// Makes a token that has no parent.
    pub(crate) fn new() -> Self {
        Self::below(None)
    }

    fn below(parent: Option<(Arc<Self>, usize)>) -> Self {
        Self { canceled: AtomicBool::new(false), state: Lock::default(), parent }
    }

    /// Makes a token below this one, which is canceled if this one is.
    pub(crate) fn child(self: &Arc<Self>) -> Arc<Self> {
        let mut state = self.state.lock();
        let child = Arc::new_cyclic(|child: &Weak<Self>| {
            let slot = state.children.insert(child.clone());
            Self::below(Some((self.clone(), slot)))
        });
        let is_canceled = state.canceled;
        drop(state);
        if is_canceled {
            child.cancel();
        }
        child
    }

    /// Cancels this token and those below it.
    pub(crate) fn cancel(self: &Arc<Self>) {
        // A list instead of recursion, because the tokens below may be deeper than the stack.
        let mut nodes = vec![self.clone()];
        while let Some(node) = nodes.pop() {
            let mut state = node.state.lock();
            if state.canceled {
                continue;
            }
            state.canceled = true;
            // Relaxed: a context that is woken below sees it through the wake; others see it soon.
            node.canceled.store(true, Ordering::Relaxed);
            let bound: Vec<Unparker> = state.bound.iter().copied().collect();
            nodes.extend(state.children.iter().filter_map(Weak::upgrade));
            drop(state);
            bound.into_iter().for_each(Unparker::unpark);
        }
    }

    /// Returns true if the token is canceled. What was written before may not be visible yet.
    #[inline]
    pub(crate) fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }

    /// Returns true if the token is canceled. What was written before [`cancel`](Self::cancel) is visible then.
    pub(crate) fn is_canceled_visibly(&self) -> bool {
        // The flag was set in an earlier critical section of this lock, which so publishes what came before.
        self.is_canceled() && self.state.lock().canceled
    }

    /// Registers a context that is woken when the token is canceled. A token that is canceled already wakes none.
    pub(crate) fn bind(&self, context: Unparker) -> Bound {
        Bound(self.state.lock().bound.insert(context))
    }

    /// Stops waking that context. The token may still wake it once.
    pub(crate) fn unbind(&self, bound: Bound) {
        self.state.lock().bound.remove(bound.0);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("canceled", &self.canceled).finish_non_exhaustive()
    }
}

impl Drop for Node {
    /// Leaves the tokens above, and drops those that nothing else holds, one after the other, because there may be more
    /// of them than the stack has room for.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some((parent, slot)) = next {
            parent.state.lock().children.remove(slot);
            next = Arc::into_inner(parent).and_then(|mut node| node.parent.take());
        }
    }
}

/// Values with numbers that are reused.
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    fn insert(&mut self, thing: T) -> usize {
        if let Some(number) = self.free.pop() {
            self.slots[number] = Some(thing);
            return number;
        }
        self.slots.push(Some(thing));
        self.slots.len() - 1
    }

    fn remove(&mut self, number: usize) {
        self.slots[number] = None;
        self.free.push(number);
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}
