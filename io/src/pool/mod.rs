//! Pools of reusable buffers.

mod buffers;
mod memory;

pub(crate) use buffers::Wanting;
pub use buffers::{BufferPool, PooledBuffer, Reserve};
pub use memory::PoolMemory;
