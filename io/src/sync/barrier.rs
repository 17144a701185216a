//! A barrier.

use super::forms::{Until, uncancelable};
use super::wait::wait;
use crate::primitive::Lock;
use crate::waiting::WaitQueue;
use crate::{Canceled, Io};

/// Holds back a number of contexts until all of them have arrived. Can be used repeatedly.
///
/// A barrier cannot be [selected](mod@crate::select): the last context to arrive would have to decide for all others at
/// once that none of them has taken another source.
#[derive(Debug)]
pub struct Barrier {
    count: usize,
    arrived: Lock<WaitQueue<()>>,
}

impl Barrier {
    /// Makes a barrier for `count` contexts; for 0 or 1, nobody waits.
    pub const fn new(count: usize) -> Self {
        Self { count, arrived: Lock::new(WaitQueue::new()) }
    }

    /// Waits until all contexts have arrived.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even for the last context. A canceled context does not count as arrived.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<BarrierWaitResult, Canceled> {
        self.wait_until(io, Until::Canceled)
    }

    /// Waits until all contexts have arrived. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(&self, io: &dyn Io) -> BarrierWaitResult {
        uncancelable(|until| self.wait_until(io, until))
    }

    fn wait_until(&self, io: &dyn Io, until: Until) -> Result<BarrierWaitResult, Canceled> {
        until.check(io)?;
        let mut arrived = self.arrived.lock();
        if arrived.len() + 1 < self.count {
            wait(io, &self.arrived, arrived, |arrived| arrived, None, until)?;
            return Ok(BarrierWaitResult { leader: false });
        }
        let others = arrived.release_all();
        drop(arrived);
        others.wake();
        Ok(BarrierWaitResult { leader: true })
    }
}

/// The result of [`Barrier::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// Returns true for exactly one of the contexts: the one that arrived last.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}
