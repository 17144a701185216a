//! Buffers that are lent out and come back.

mod buffers;
mod memory;
mod take;

pub use buffers::{BufferPool, PooledBuffer, Reserve};
pub use memory::PoolMemory;
