//! A barrier.

use super::forms::{Until, uncancelable};
use super::wait::wait;
use crate::primitive::Lock;
use crate::waiting::WaitQueue;
use crate::{Canceled, Io};

/// Lets a number of contexts go when all of them have come. May be used again and again.
///
/// It is no source to [wait for](mod@crate::select) among others: who comes last would have to decide for all at once that
/// none of them has gone elsewhere.
#[derive(Debug)]
pub struct Barrier {
    count: usize,
    arrived: Lock<WaitQueue<()>>,
}

impl Barrier {
    /// Makes a barrier for that many; for 0 or 1, nobody waits.
    pub const fn new(count: usize) -> Self {
        Self { count, arrived: Lock::new(WaitQueue::new()) }
    }

    /// Waits until all have come.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also for the last. Who is canceled has not come.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<BarrierWaitResult, Canceled> {
        self.wait_until(io, Until::Canceled)
    }

    /// As [`wait`](Self::wait), whatever is requested meanwhile.
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

/// That all have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// Whether the caller is the one who came last; one of them is.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}
