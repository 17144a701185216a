//! The sending end.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::permit::SendPermit;
use super::sending::{Closing, Reserving, Sending};
use super::shared::Shared;
use crate::select::Selectable;
use crate::sync::error::{SendError, SendErrorKind};
use crate::sync::forms::{Until, uncancelable};
use crate::sync::queued::{Queued, call};
use crate::waiting::Served;
use crate::{Canceled, Io};

/// The sending end of a [`channel`](super::channel()).
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// Sends an item, and waits while the channel is full.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also if there is room. A canceled send gives its item back; an
    /// item that a receiver has taken was sent.
    ///
    /// # Errors
    ///
    /// The item and the reason: canceled, or closed.
    pub fn send(&self, io: &dyn Io, item: T) -> Result<(), SendError<T>> {
        self.send_until(io, item, Until::Canceled)
    }

    /// Sends an item, and waits while the channel is full; no request ends the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// The item, if the channel is closed.
    pub fn send_uncancelable(&self, io: &dyn Io, item: T) -> Result<(), SendError<T>> {
        self.send_until(io, item, Until::Served)
    }

    /// Returns the call [`send`](Self::send) of the item in `item`, to [select](crate::Io#method.select) from. The item is taken
    /// out when it is sent, and stays there otherwise. If `item` is `None`, this is never selected.
    ///
    /// # Errors
    ///
    /// The selected result is an error with the item if the channel is closed.
    pub fn on_send<'a>(&'a self, item: &'a mut Option<T>) -> impl Selectable<Output = Result<(), SendError<T>>> + 'a {
        item.is_some().then(|| Queued::new(Sending { shared: &self.shared, item: RefCell::new(item) }))
    }

    /// Sends an item if there is room. Never suspends.
    ///
    /// # Errors
    ///
    /// The item and the reason: full, or closed.
    pub fn try_send(&self, item: T) -> Result<(), SendError<T>> {
        let mut state = self.shared.state().lock();
        match state.put(item, None) {
            Ok(served) => {
                drop(state);
                served.into_iter().for_each(Served::wake);
                Ok(())
            }
            Err(item) if state.closed => Err(SendError { item, kind: SendErrorKind::Closed }),
            Err(item) => Err(SendError { item, kind: SendErrorKind::Full }),
        }
    }

    /// Waits for a free slot and keeps it for one item, so that the item is made only when there is room for it. Senders that
    /// wait for a slot and senders that wait with an item are served in the order in which they came.
    ///
    /// ```
    /// use iolite_io::{Io, net::UdpSocket, sync::mpmc::Sender};
    ///
    /// /// Takes messages out of the kernel's queue only as fast as they are handled.
    /// fn receive(io: &dyn Io, socket: &UdpSocket, handlers: &Sender<Vec<u8>>) -> std::io::Result<()> {
    ///     loop {
    ///         let slot = handlers.reserve(io)?;
    ///         let mut message = vec![0; 1500];
    ///         let count = socket.recv(io, &mut message)?;
    ///         message.truncate(count);
    ///         slot.send(message)?;
    ///     }
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also if a slot is free. A canceled call keeps none.
    ///
    /// # Errors
    ///
    /// Canceled, or closed.
    ///
    /// # Panics
    ///
    /// If the channel is a rendezvous, which has no slots.
    pub fn reserve(&self, io: &dyn Io) -> Result<SendPermit<'_, T>, SendErrorKind> {
        self.reserve_until(io, Until::Canceled)
    }

    /// Waits for a free slot and keeps it for one item, as [`reserve`](Self::reserve); no request ends the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Closed.
    ///
    /// # Panics
    ///
    /// As `reserve`.
    pub fn reserve_uncancelable(&self, io: &dyn Io) -> Result<SendPermit<'_, T>, SendErrorKind> {
        self.reserve_until(io, Until::Served)
    }

    /// Returns the call [`reserve`](Self::reserve), to [select](crate::Io#method.select) from.
    ///
    /// ```
    /// use iolite_io::{Canceled, Io, sync::{Event, mpmc::Sender}, select::OneOf2};
    ///
    /// /// The next number goes out when there is room for it, until somebody says stop.
    /// fn count(io: &dyn Io, stop: &Event, numbers: &Sender<u64>) -> Result<(), Canceled> {
    ///     for number in 0.. {
    ///         match io.select((stop.on_wait(), numbers.on_reserve()))? {
    ///             OneOf2::Second(Ok(slot)) => drop(slot.send(number)),
    ///             OneOf2::First(()) | OneOf2::Second(Err(_)) => break,
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The selected result is an error if the channel is closed.
    ///
    /// # Panics
    ///
    /// As [`reserve`](Self::reserve).
    pub fn on_reserve(&self) -> impl Selectable<Output = Result<SendPermit<'_, T>, SendErrorKind>> + '_ {
        self.assert_has_slots();
        Queued::new(Reserving(&self.shared))
    }

    /// Keeps a slot for one item if one is free. Never suspends.
    ///
    /// # Errors
    ///
    /// Full, or closed.
    ///
    /// # Panics
    ///
    /// As [`reserve`](Self::reserve).
    pub fn try_reserve(&self) -> Result<SendPermit<'_, T>, SendErrorKind> {
        self.assert_has_slots();
        let mut state = self.shared.state().lock();
        if state.closed {
            Err(SendErrorKind::Closed)
        } else if state.has_room() {
            state.reserved += 1;
            Ok(SendPermit::new(&self.shared))
        } else {
            Err(SendErrorKind::Full)
        }
    }

    /// Closes the channel for all senders and receivers. Items that are in it are still received; senders that wait
    /// get theirs back.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Returns true if the channel is closed.
    pub fn is_closed(&self) -> bool {
        self.shared.state().lock().closed
    }

    /// Waits until the channel is closed, after which nobody receives what is sent. Items that are in it may still be received.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also if the channel is already closed.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn closed(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.closed_until(io, Until::Canceled)
    }

    /// Waits until the channel is closed; no request ends the wait. See [`closed`](Self::closed).
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn closed_uncancelable(&self, io: &dyn Io) {
        uncancelable(|until| self.closed_until(io, until));
    }

    /// Returns the call [`closed`](Self::closed), to [select](crate::Io#method.select) from.
    pub fn on_closed(&self) -> impl Selectable<Output = ()> + '_ {
        Queued::new(Closing(&self.shared))
    }

    /// Returns the number of items in the channel.
    pub fn len(&self) -> usize {
        self.shared.state().lock().items.len()
    }

    /// Returns true if no item is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn closed_until(&self, io: &dyn Io, until: Until) -> Result<(), Canceled> {
        call(io, Closing(&self.shared), until)
    }

    fn reserve_until(&self, io: &dyn Io, until: Until) -> Result<SendPermit<'_, T>, SendErrorKind> {
        self.assert_has_slots();
        call(io, Reserving(&self.shared), until)?
    }

    fn assert_has_slots(&self) {
        assert!(self.shared.state().lock().capacity > 0, "a rendezvous channel has no slots that could be reserved");
    }

    fn send_until(&self, io: &dyn Io, item: T, until: Until) -> Result<(), SendError<T>> {
        let mut item = Some(item);
        match call(io, Sending { shared: &self.shared, item: RefCell::new(&mut item) }, until) {
            Ok(sent) => sent,
            Err(canceled) => {
                Err(SendError { item: item.expect("a send that was canceled has its item"), kind: canceled.into() })
            }
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.state().lock().senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state().lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.shared.close();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}
