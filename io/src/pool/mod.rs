//! Buffers that are lent out and come back.

mod buffers;
mod memory;

pub(crate) use buffers::Wanting;
pub use buffers::{BufferPool, PooledBuffer, Reserve};
pub use memory::PoolMemory;
