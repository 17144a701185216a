//! TCP over any [`Io`](crate::Io): listeners, streams, name lookup; and, for many connections at once,
//! what keeps coming in ([`Incoming`], [`IncomingBytes`]) and sending without a copy
//! ([`TcpStream::send_zero_copy`]).

mod address;
mod incoming;
mod listener;
pub(crate) mod pool;
mod stream;

pub use address::{ToSocketAddrs, resolve};
pub use incoming::{Incoming, IncomingBytes};
pub use listener::{ListenOptions, TcpListener};
pub use pool::{BufferPool, PooledBuffer};
pub use stream::TcpStream;
