//! Returning the stacks of idle fibers to the system.
#![allow(unsafe_code)]

use std::time::Duration;

use iolite_fibers::Stack;
use iolite_io::Instant;
use iolite_io::backend::monotonic_now;

use super::state::Executor;
use crate::fiber::OwnedFiber;

/// The time for which surplus stacks that nobody uses are kept warm.
const TRIM_AFTER: Duration = Duration::from_secs(1);

impl Executor {
    /// Gives cold stacks back, some time after there was nothing to do with them. Returns the time of the next check.
    pub(super) fn trim(&self) -> Option<Instant> {
        if !self.idle.has_surplus() {
            self.trim_at.set(None);
            return None;
        }
        let now = monotonic_now();
        let trim_at = self.trim_at.get().unwrap_or(now + TRIM_AFTER);
        if now < trim_at {
            self.trim_at.set(Some(trim_at));
            return Some(trim_at);
        }
        self.trim_at.set(None);
        self.discard(self.idle.take_surplus());
        None
    }

    pub(super) fn discard(&self, fibers: impl IntoIterator<Item = OwnedFiber>) {
        let stacks = fibers.into_iter().filter_map(|fiber| {
            let block = fiber.block();
            // SAFETY: the block comes from this executor's inbox, which made it.
            unsafe { block.set_owner(0) };
            // No waker can reach this block from now on.
            block.end_park();
            while block.is_queued() {
                // A waker is between its decision and its push; until then the block is still in use.
                self.inbox.drain_woken(|block| _ = self.make_ready_block(block));
                std::hint::spin_loop();
            }
            let stack = fiber.exit();
            self.inbox.give_block(block);
            stack
        });
        Stack::give_back(stacks);
    }
}
