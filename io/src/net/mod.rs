//! TCP over any [`Io`](crate::Io): listeners, streams, name lookup.

mod address;
mod listener;
mod stream;

pub use address::{ToSocketAddrs, resolve};
pub use listener::{ListenOptions, TcpListener};
pub use stream::TcpStream;
