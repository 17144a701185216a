//! Channels for a single item: the answer to a question.

use std::fmt;

use super::error::SendError;
use super::mpmc;
use crate::select::Selectable;
use crate::{Canceled, Io};

pub use super::mpmc::Receiver;

/// Makes a channel for one item. Sending it never waits.
///
/// The receiver is told that the channel is closed when the sender is dropped without having sent.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpmc::channel(1);
    (Sender(sender), receiver)
}

/// The sending end of a oneshot [`channel`].
pub struct Sender<T>(mpmc::Sender<T>);

impl<T> Sender<T> {
    /// Sends the item. Never suspends; from any thread.
    ///
    /// # Errors
    ///
    /// The item, when all receivers are gone or have closed the channel.
    pub fn send(self, item: T) -> Result<(), SendError<T>> {
        self.0.try_send(item)
    }

    /// Whether nobody will receive.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until the channel is closed: nobody will receive what is sent. Items that are in it may still be received.
    ///
    /// ```
    /// use iolite_io::{Io, sync::oneshot, select::OneOf2};
    ///
    /// /// Looks for an answer for as long as somebody waits for it.
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
    /// A cancellation point, even if it is closed.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn closed(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.0.closed(io)
    }

    /// As [`closed`](Self::closed), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn closed_uncancelable(&self, io: &dyn Io) {
        self.0.closed_uncancelable(io);
    }

    /// The channel's being closed, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_closed(&self) -> impl Selectable<Output = ()> + '_ {
        self.0.on_closed()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
