//! Adapters of streams to std's traits, and loops that read or write everything.

mod byte_stream;
mod loops;

pub use byte_stream::{BoundStream, ByteStream, OwnedStream};
pub(crate) use loops::{ReadMore, read_all, read_exact, read_to_end, read_to_string, write_all};
