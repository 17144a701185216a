//! What stands between this crate and the C library.

pub(crate) mod signal_handler;
pub(crate) mod wake_signal;

mod readers;
