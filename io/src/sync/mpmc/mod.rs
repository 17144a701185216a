//! Channels that hand each item to one of many receivers.

mod channel;

mod receiver;
mod sender;

mod permit;
mod sending;

mod shared;
mod state;

pub use channel::{channel, unbounded};
pub use permit::SendPermit;
pub use receiver::Receiver;
pub use sender::Sender;
