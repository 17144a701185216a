//! Streams as std's traits, and the loops that std's helpers cannot do.

mod byte_stream;
mod loops;

pub use byte_stream::{BoundStream, ByteStream, OwnedStream};
pub(crate) use loops::{ReadMore, read_all, read_exact, read_to_end, read_to_string, write_all};
