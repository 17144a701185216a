//! Parking of fibers.
#![allow(unsafe_code)]

use iolite_io::Instant;
use iolite_io::backend::{Park, WakeBlock};

use super::state::Executor;
use crate::fiber::{FiberRef, SuspendReason};

/// The [`Park`] of fibers.
#[derive(Debug)]
pub(super) struct FiberPark;

impl Park for FiberPark {
    fn park(&self, block: &'static WakeBlock, deadline: Option<Instant>) {
        if block.take_token() {
            return;
        }
        let calling = FiberRef::of_block(block);
        // SAFETY: the calling fiber owns the block and is live.
        let fiber = unsafe { calling.get() };
        match deadline {
            None => fiber.suspend(SuspendReason::Park),
            Some(deadline) => {
                Executor::with_current(|executor| {
                    let timer = executor.timers.arm(deadline, calling);
                    fiber.suspend(SuspendReason::Park);
                    executor.timers.disarm(timer);
                });
            }
        }
        block.take_token();
    }

    fn yield_now(&self, block: &'static WakeBlock) {
        // SAFETY: the calling fiber owns the block and is live.
        unsafe { FiberRef::of_block(block).get() }.suspend(SuspendReason::Yield);
    }

    fn has_run_long(&self) -> bool {
        Executor::with_current(Executor::has_run_long) == Some(true)
    }

    fn is_thread(&self) -> bool {
        false
    }

    fn backend_name(&self) -> &'static str {
        "evented"
    }
}
