//! Scopes that end what runs in them, or keep it from being ended: timeouts, shields and tokens.

mod point;
mod shield;
mod timeout;
mod token;

mod boxed_error;

pub use token::{CancellationGuard, CancellationToken};
