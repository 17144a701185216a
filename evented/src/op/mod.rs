#![doc = include_str!("opcodes.md")]

mod dispatch;

// The operations of the vocabulary: one file each, with how it fills an entry and how it reads the completion.

mod accept;
mod close;
mod connect;
mod files;
mod message;
mod multishot;
mod offload;
mod open;
mod poll;
mod read;
mod receive;
mod send;
mod spawn;
mod splice;
mod sync;
mod write;

// The files above are written with these.

mod limits;
mod offset;
mod perform;
mod wait;

mod typed;

pub(crate) use dispatch::operate;
pub(crate) use multishot::RingMultishot;
pub use typed::*;
