//! Scopes that cancel the code in them, or shield it from cancellation: timeouts, shields and tokens.

mod point;
mod shield;
mod timeout;
mod token;

mod boxed_error;

pub use token::{CancellationGuard, CancellationToken};
