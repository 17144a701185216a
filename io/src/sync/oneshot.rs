//! Channels for a single item, such as the answer to a question.

use std::fmt;

use super::error::SendError;
use super::mpmc;
use crate::select::Selectable;
use crate::{Canceled, Io};

pub use super::mpmc::Receiver;

/// Makes a channel for one item. Sending it never waits.
///
/// If the sender is dropped without sending, the receiver learns that the channel is closed.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpmc::channel(1);
    (Sender(sender), receiver)
}

/// The sending end of a oneshot [`channel`].
pub struct Sender<T>(mpmc::Sender<T>);

impl<T> Sender<T> {
    /// Sends the item. Never suspends; works from any thread.
    ///
    /// # Errors
    ///
    /// Returns the item if all receivers are gone or have closed the channel.
    pub fn send(self, item: T) -> Result<(), SendError<T>> {
        self.0.try_send(item)
    }

    /// Returns true if no receiver will receive the item.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until the channel is closed: a sent item would not be received. Items in the channel may still be
    /// received.
    ///
    /// ```
    /// use iolite_io::{Io, sync::oneshot, select::OneOf2};
    ///
    /// /// Searches for an answer for as long as a receiver waits for it.
    /// fn answer(io: &dyn Io, question: u64, asker: oneshot::Sender<u64>) -> std::io::Result<()> {
    ///     let mut search = io.spawn_waiting(move |_| (2..question).find(|divisor| question % divisor == 0))?;
    ///     match io.select((search.on_finish(), asker.on_closed()))? {
    ///         OneOf2::First(()) => drop(asker.send(search.join(io).unwrap_or(question))),
    ///         OneOf2::Second(()) => drop(search.cancel(io)),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the channel is closed.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn closed(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.0.closed(io)
    }

    /// Waits until the channel is closed. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn closed_uncancelable(&self, io: &dyn Io) {
        self.0.closed_uncancelable(io);
    }

    /// Returns a source that is ready when the channel is closed. For [`select`](crate::Io#method.select).
    pub fn on_closed(&self) -> impl Selectable<Output = ()> + '_ {
        self.0.on_closed()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
