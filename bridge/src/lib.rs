//! Bounded lock-free queues from fibers to pools of threads that may block.

mod bridge;
mod builder;
mod error;
mod metrics;

mod panics;

mod queue {
    pub(crate) const CAPACITY_MAX: usize = 1 << 24;
}
mod wake {
    pub(crate) const WORKERS_MAX: usize = 64;
}

pub use bridge::Bridge;
pub use builder::Builder;
pub use error::{CallError, PostError, PostErrorKind};
pub use metrics::Metrics;
