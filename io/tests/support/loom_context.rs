//! The `context` module for models of words that contain the waiter to wake.
#![allow(unsafe_code)]

use std::ptr;

use crate::primitive::{AtomicU32, Guarded, Ordering};

/// A wake block of the model; leaked, as wake blocks are.
#[derive(Debug)]
pub(crate) struct WakeBlock {
    /// Written when the block is made.
    target: Guarded,
    wakes: AtomicU32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Unparker(&'static WakeBlock);

impl Unparker {
    pub(crate) fn new() -> Self {
        let block = Box::leak(Box::new(WakeBlock { target: Guarded::new(), wakes: AtomicU32::new(0) }));
        block.target.write();
        Self(block)
    }

    pub(crate) fn as_ptr(self) -> *mut WakeBlock {
        ptr::from_ref(self.0).cast_mut()
    }

    pub(crate) unsafe fn from_ptr(pointer: *mut WakeBlock) -> Self {
        // SAFETY: it came from `as_ptr`, and blocks are never freed.
        Self(unsafe { &*pointer })
    }

    /// Relaxed: a task's waiter may be woken by anything, so a wake-up publishes nothing here.
    pub(crate) fn unpark(self) {
        self.0.target.read();
        self.0.wakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wakes(self) -> u32 {
        self.0.wakes.load(Ordering::Relaxed)
    }
}
