//! Files over any [`Io`](crate::Io).

mod file;
mod options;

pub use file::File;
pub use options::OpenOptions;

pub use crate::net::{BufferPool, PooledBuffer};
