//! Closures that may block their thread.

mod blocking;
mod closure;

pub use blocking::BlockingPool;
#[cfg(test)]
pub(crate) use blocking::Parks;
