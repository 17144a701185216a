//! The system calls of this crate.

pub(crate) mod fault;
pub(crate) mod memory;
