//! The interface to the operating system and the C library.

pub(crate) mod clock;
pub(crate) mod per_process;
pub(crate) mod random;
pub(crate) mod signal_handler;
pub(crate) mod wake_signal;

pub(crate) mod signals;
pub(crate) mod sockets;

mod readers;
