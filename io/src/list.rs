//! An intrusive doubly linked list, for members of groups and waiters of locks.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::NonNull;

/// A value that can be linked into one list at a time.
#[derive(Debug)]
pub(crate) struct Node<T> {
    prev: Cell<Option<NonNull<Node<T>>>>,
    next: Cell<Option<NonNull<Node<T>>>>,
    linked: Cell<bool>,
    pub(crate) value: T,
}

// SAFETY: the links are plain addresses, which belong to no thread. Only methods of `List` follow them, and their
// callers answer for what they lead to.
unsafe impl<T: Send> Send for Node<T> {}
// SAFETY: through `&Node` others reach the value, which is `Sync`. The cells of the links are private to this file, where
// only methods of `List` touch them: by `&mut List` those that write, by `&List` those that read. A node is in one list at a
// time, and that is under a lock in this crate, so no two threads touch the cells of one node at the same time.
unsafe impl<T: Sync> Sync for Node<T> {}

impl<T> Node<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { prev: Cell::new(None), next: Cell::new(None), linked: Cell::new(false), value }
    }
}

/// The list. It does not own its nodes.
#[derive(Debug)]
pub(crate) struct List<T> {
    head: Option<NonNull<Node<T>>>,
    tail: Option<NonNull<Node<T>>>,
    len: usize,
}

// SAFETY: the list hands out its nodes only as pointers; code that dereferences them answers for it.
unsafe impl<T: Send> Send for List<T> {}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> List<T> {
    pub(crate) const fn new() -> Self {
        Self { head: None, tail: None, len: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// # Safety
    ///
    /// `node` is in no list, and neither moves nor dies before it is removed.
    pub(crate) unsafe fn push_back(&mut self, node: NonNull<Node<T>>) {
        // SAFETY: the node is alive and does not move, by this function's contract, and only shared references are made to
        // nodes while they may be linked.
        let links = unsafe { node.as_ref() };
        debug_assert!(!links.linked.get());
        links.prev.set(self.tail);
        links.next.set(None);
        links.linked.set(true);
        match self.tail {
            // SAFETY: `tail` is linked, so it entered by `push_back`, whose caller keeps it alive until it is removed.
            Some(tail) => unsafe { tail.as_ref() }.next.set(Some(node)),
            None => self.head = Some(node),
        }
        self.tail = Some(node);
        self.len += 1;
    }

    /// Returns the first node.
    pub(crate) fn first(&self) -> Option<NonNull<Node<T>>> {
        self.head
    }

    /// Returns the node after `node`.
    ///
    /// # Safety
    ///
    /// `node` is in this list.
    pub(crate) unsafe fn after(&self, node: NonNull<Node<T>>) -> Option<NonNull<Node<T>>> {
        // SAFETY: the node is in this list, by this function's contract, so the code that put it there keeps it alive.
        unsafe { node.as_ref() }.next.get()
    }

    /// Unlinks `node`. Returns false if it was not linked.
    ///
    /// # Safety
    ///
    /// `node` is alive and in this list or in none.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<Node<T>>) -> bool {
        // SAFETY: the node is alive, by this function's contract, and only shared references are made to it during the
        // call.
        let links = unsafe { node.as_ref() };
        if !links.linked.replace(false) {
            return false;
        }
        let (prev, next) = (links.prev.take(), links.next.take());
        match prev {
            // SAFETY: it comes before a node of this list, so it is in the list too (its own removal would have
            // replaced the link that was read here), and the code that put it there keeps it alive until then.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head = next,
        }
        match next {
            // SAFETY: it comes after a node of this list, so it is in the list too (its own removal would have replaced
            // the link that was read here), and the code that put it there keeps it alive until then.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.tail = prev,
        }
        self.len -= 1;
        true
    }

    /// Calls `f` with each value, first to last.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&T)) {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: `next` was read from the head or a node of this list, which is borrowed, so that none is removed
            // until this returns (`f` cannot reach it); the code that put a node there keeps it alive until it is
            // removed.
            let node = unsafe { node.as_ref() };
            next = node.next.get();
            f(&node.value);
        }
    }
}
