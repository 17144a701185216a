//! The stack through which wakers reach an executor. The models of `tests/loom_park.rs` run this very file under loom.
#![allow(unsafe_code)]

use std::ptr;

use crate::context::WakeBlock;
use crate::primitive::{AtomicPtr, Ordering};

/// A lock-free stack of blocks to be woken: many wakers push, the executor takes all.
///
/// Intrusive, so pushing never allocates.
#[derive(Debug)]
pub struct WakeStack {
    /// SeqCst on push and in `is_empty`: a waker pushes and then checks whether the executor sleeps; the executor
    /// announces its sleep and then checks here. Release on push, Acquire in `drain`: earlier actions of a waker, and
    /// the links, are visible to the executor.
    head: AtomicPtr<WakeBlock>,
}

impl Default for WakeStack {
    fn default() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl WakeStack {
    /// Adds a block. Called only from within [`Wake::wake`](super::Wake::wake), which has the block exclusively.
    pub fn push(&self, block: &'static WakeBlock) {
        let pointer = ptr::from_ref(block).cast_mut();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            block.next.store(head, Ordering::Relaxed);
            match self.head.compare_exchange_weak(head, pointer, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Returns true if there is nothing to take.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::SeqCst).is_null()
    }

    /// Takes all blocks, in the order in which they were pushed, and ends each one's wake before passing it to `ready`.
    pub fn drain(&self, mut ready: impl FnMut(&'static WakeBlock)) {
        if self.head.load(Ordering::Relaxed).is_null() {
            return;
        }
        // No Release is needed: wakers want nothing from an empty stack.
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut::<WakeBlock>();
        while !newest.is_null() {
            // SAFETY: only `push` puts pointers here, and blocks live for ever.
            let block: &'static WakeBlock = unsafe { &*newest };
            newest = block.next.swap(oldest, Ordering::Relaxed);
            oldest = ptr::from_ref(block).cast_mut();
        }
        while !oldest.is_null() {
            // SAFETY: the loop above has put only such pointers there.
            let block: &'static WakeBlock = unsafe { &*oldest };
            // Before `woken`: after it the block may be pushed again.
            oldest = block.next.load(Ordering::Relaxed);
            block.woken();
            ready(block);
        }
    }
}
