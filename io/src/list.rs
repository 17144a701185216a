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

// SAFETY: the links are touched by `List`'s methods only, which need the list by `&mut`; the list
// lives under a lock, so a node that is shared between threads is linked by one at a time.
unsafe impl<T: Send> Send for Node<T> {}
// SAFETY: as above.
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

// SAFETY: the list hands out its nodes as pointers only; who dereferences them answers for it.
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
        // SAFETY: the caller says that it is alive.
        let links = unsafe { node.as_ref() };
        debug_assert!(!links.linked.get());
        links.prev.set(self.tail);
        links.next.set(None);
        links.linked.set(true);
        match self.tail {
            // SAFETY: linked nodes are alive.
            Some(tail) => unsafe { tail.as_ref() }.next.set(Some(node)),
            None => self.head = Some(node),
        }
        self.tail = Some(node);
        self.len += 1;
    }

    /// The first node.
    pub(crate) fn first(&self) -> Option<NonNull<Node<T>>> {
        self.head
    }

    /// The node after `node`.
    ///
    /// # Safety
    ///
    /// `node` is in this list.
    pub(crate) unsafe fn after(&self, node: NonNull<Node<T>>) -> Option<NonNull<Node<T>>> {
        // SAFETY: linked nodes are alive.
        unsafe { node.as_ref() }.next.get()
    }

    /// Unlinks `node`; `false` when it was not linked.
    ///
    /// # Safety
    ///
    /// `node` is alive and in this list or in none.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<Node<T>>) -> bool {
        // SAFETY: the caller says that it is alive.
        let links = unsafe { node.as_ref() };
        if !links.linked.replace(false) {
            return false;
        }
        let (prev, next) = (links.prev.take(), links.next.take());
        match prev {
            // SAFETY: neighbours are linked, hence alive.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head = next,
        }
        match next {
            // SAFETY: as above.
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
            // SAFETY: linked nodes are alive.
            let node = unsafe { node.as_ref() };
            next = node.next.get();
            f(&node.value);
        }
    }
}
