//! Threads as contexts: parking on a condition variable.

use std::cell::Cell;

use super::block::WakeBlock;
use super::park::Park;
use super::spin_wait::SpinWait;
use crate::time::Instant;

/// Parks a thread.
#[derive(Debug, Default)]
pub(super) struct ThreadPark {
    patience: SpinWait,
}

impl Park for ThreadPark {
    fn park(&self, block: &'static WakeBlock, deadline: Option<Instant>) {
        if self.patience.pays() && !block.is_notified() {
            self.patience.wait(|| block.is_notified());
        }
        let Some(parker) = block.thread() else { return };
        if parker.park(block.state(), deadline) {
            self.patience.woken();
        }
    }

    fn yield_now(&self, _block: &'static WakeBlock) {
        std::thread::yield_now();
    }

    fn is_thread(&self) -> bool {
        true
    }
}

thread_local! {
    /// True if the thread belongs to a pool: it ends when there is nothing to do for it.
    static IS_OF_POOL: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as belonging to a pool.
pub(crate) fn mark_thread_of_pool() {
    IS_OF_POOL.set(true);
}

/// Returns true if the calling thread belongs to a pool, and is not the program's own.
pub(crate) fn is_thread_of_pool() -> bool {
    IS_OF_POOL.get()
}
