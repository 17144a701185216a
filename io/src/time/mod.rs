//! Time: instants of the monotonic clock, and the other clocks.

mod clock;
mod instant;
pub(crate) mod interval;
pub use interval::MissedTicks;
mod sleep;

pub use clock::Clock;
pub use instant::{Instant, monotonic_now};
