//! Bounded lock-free queues from fibers to pools of threads that may block.

mod bridge;
mod builder;
mod error;
mod metrics;

mod shared;
mod worker;

mod job;
mod mpsc;
mod permits;
mod queue;
mod wake;
mod word;

mod panics;
mod primitive;

pub use bridge::Bridge;
pub use builder::Builder;
pub use error::{CallError, PostError, PostErrorKind};
pub use metrics::Metrics;
