//! Making a channel.

use std::sync::Arc;

use super::receiver::Receiver;
use super::sender::Sender;
use super::shared::Shared;

/// Makes a channel that holds up to `capacity` items. With capacity 0 it is a rendezvous: a sender
/// waits for a receiver.
///
/// Items arrive in the order in which they were sent, each exactly once. The channel closes when
/// all senders or all receivers are gone, or by `close`; items that are in it are still received.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(capacity));
    (Sender::new(shared.clone()), Receiver::new(shared))
}

/// Makes a [`channel`] that holds any number of items: a sender never waits. Its memory grows for as long as
/// the receivers are slower than the senders.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}
