//! Queues of waiting contexts, and the decision which of them is served.

mod choice;
mod permits;
mod semaphore;
mod wait_queue;

pub(crate) use choice::{Choice, decide};
pub(crate) use semaphore::assert_possible;
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub(crate) use wait_queue::{AllServed, Met, Place, Served, WaitQueue};
