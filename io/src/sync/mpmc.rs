//! Channels that hand each item to one of many receivers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::error::{RecvError, SendError, SendErrorKind, TryRecvError};
use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{AllServed, Choice, Served, WaitQueue, decide};
use crate::{Canceled, Io};

/// Makes a channel that holds up to `capacity` items. With capacity 0 it is a rendezvous: a sender
/// waits for a receiver.
///
/// Items arrive in the order in which they were sent, each exactly once. The channel closes when
/// all senders or all receivers are gone, or by `close`; items that are in it are still received.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared(Lock::new(State {
        items: VecDeque::new(),
        capacity,
        reserved: 0,
        senders: 1,
        receivers: 1,
        closed: false,
        sending: WaitQueue::new(),
        receiving: WaitQueue::new(),
        closing: WaitQueue::new(),
    })));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// Makes a [`channel`] that holds any number of items: a sender never waits. Its memory grows for as long as
/// the receivers are slower.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

/// The sending end of a [`channel`].
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The receiving end of a [`channel`].
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T>(Lock<State<T>>);

/// There is no [room](State::has_room) whenever a sender waits, and no item whenever a receiver does. A receiver and a
/// sender with an item both wait only where they are the same, in one wait for many things; beside a receiver, others may
/// wait for a slot.
struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    /// For how many items that are still to come there is a permit.
    reserved: usize,
    senders: usize,
    receivers: usize,
    closed: bool,
    /// Senders, each with what it wants.
    sending: WaitQueue<Wanted<T>>,
    receiving: WaitQueue<T>,
    /// Senders that wait for the end.
    closing: WaitQueue<()>,
}

/// What a sender waits for.
enum Wanted<T> {
    /// That this item is sent.
    Send(T),
    /// A free slot.
    Slot,
}

impl<T> Sender<T> {
    /// Sends an item, waiting while the channel is full.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when there is room. A canceled send comes back with its item; an
    /// item that was taken was sent.
    ///
    /// # Errors
    ///
    /// The item and the reason: canceled, or closed.
    pub fn send(&self, io: &dyn Io, item: T) -> Result<(), SendError<T>> {
        self.send_until(io, item, Until::Canceled)
    }

    /// Sends an item, waiting while the channel is full, whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// The item, when the channel is closed.
    pub fn send_uncancelable(&self, io: &dyn Io, item: T) -> Result<(), SendError<T>> {
        self.send_until(io, item, Until::Served)
    }

    /// Sending what is in `item`, as one of many things to [wait for](crate::Io#method.select). It is taken out
    /// when it is sent, and stays there otherwise. Without one, there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// Of what it comes to: the item, when the channel is closed.
    pub fn on_send<'a>(&'a self, item: &'a mut Option<T>) -> impl Selectable<Output = Result<(), SendError<T>>> + 'a {
        item.is_some().then(|| Queued::new(Sending { sender: self, item: RefCell::new(item) }))
    }

    /// Sends an item if there is room. Never suspends.
    ///
    /// # Errors
    ///
    /// The item and the reason: full, or closed.
    pub fn try_send(&self, item: T) -> Result<(), SendError<T>> {
        let mut state = self.shared.0.lock();
        match state.put(item, None) {
            Ok(served) => {
                drop(state);
                wake(served);
                Ok(())
            }
            Err(item) if state.closed => Err(SendError { item, kind: SendErrorKind::Closed }),
            Err(item) => Err(SendError { item, kind: SendErrorKind::Full }),
        }
    }

    /// Waits for a free slot and keeps it for one item, so that the item is made only when there is room for it. Who waits
    /// for a slot, and who waits with an item, are served in the order of coming.
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
    /// A cancellation point, also when a slot is free. A canceled call keeps none.
    ///
    /// # Errors
    ///
    /// Canceled, or closed.
    ///
    /// # Panics
    ///
    /// When the channel is a rendezvous, which has no slots.
    pub fn reserve(&self, io: &dyn Io) -> Result<SendPermit<'_, T>, SendErrorKind> {
        self.reserve_until(io, Until::Canceled)
    }

    /// As [`reserve`](Self::reserve), whatever is requested meanwhile.
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

    /// A free slot, as one of many things to [wait for](crate::Io#method.select).
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
    /// Of what it comes to: closed.
    ///
    /// # Panics
    ///
    /// As [`reserve`](Self::reserve).
    pub fn on_reserve(&self) -> impl Selectable<Output = Result<SendPermit<'_, T>, SendErrorKind>> + '_ {
        self.assert_has_slots();
        Queued::new(Reserving(self))
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
        let mut state = self.shared.0.lock();
        if state.closed {
            Err(SendErrorKind::Closed)
        } else if state.has_room() {
            state.reserved += 1;
            Ok(SendPermit { sender: self })
        } else {
            Err(SendErrorKind::Full)
        }
    }

    /// Closes the channel for everybody. Items that are in it are still received; senders that wait
    /// get theirs back.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the channel is closed.
    pub fn is_closed(&self) -> bool {
        self.shared.0.lock().closed
    }

    /// Waits until the channel is closed: nobody will receive what is sent. Items that are in it may still be received.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when it is closed.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn closed(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.closed_until(io, Until::Canceled)
    }

    /// As [`closed`](Self::closed), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn closed_uncancelable(&self, io: &dyn Io) {
        uncancelable(|until| self.closed_until(io, until));
    }

    /// The channel's being closed, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_closed(&self) -> impl Selectable<Output = ()> + '_ {
        Queued::new(Closing(&self.shared))
    }

    /// How many items are in the channel.
    pub fn len(&self) -> usize {
        self.shared.0.lock().items.len()
    }

    /// Whether no item is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn closed_until(&self, io: &dyn Io, until: Until) -> Result<(), Canceled> {
        call(io, Closing(&self.shared), until)
    }

    fn reserve_until(&self, io: &dyn Io, until: Until) -> Result<SendPermit<'_, T>, SendErrorKind> {
        self.assert_has_slots();
        call(io, Reserving(self), until)?
    }

    fn assert_has_slots(&self) {
        assert!(self.shared.0.lock().capacity > 0, "a rendezvous channel has no slots that could be reserved");
    }

    fn send_until(&self, io: &dyn Io, item: T, until: Until) -> Result<(), SendError<T>> {
        let mut item = Some(item);
        match call(io, Sending { sender: self, item: RefCell::new(&mut item) }, until) {
            Ok(sent) => sent,
            Err(canceled) => {
                Err(SendError { item: item.expect("a send that was canceled has its item"), kind: canceled.into() })
            }
        }
    }
}

impl<T> Wanted<T> {
    fn item(self) -> Option<T> {
        match self {
            Self::Send(item) => Some(item),
            Self::Slot => None,
        }
    }
}

/// A free slot of a channel, kept for one item; from [`Sender::reserve`]. Dropping it gives the slot back.
#[must_use]
pub struct SendPermit<'a, T> {
    sender: &'a Sender<T>,
}

impl<T> SendPermit<'_, T> {
    /// Sends an item into the slot. Never suspends.
    ///
    /// # Errors
    ///
    /// The item, when the channel was closed meanwhile.
    pub fn send(self, item: T) -> Result<(), SendError<T>> {
        let mut state = self.sender.shared.0.lock();
        // Dropping `self`, after the lock was released, gives the slot back.
        if state.closed {
            drop(state);
            return Err(SendError { item, kind: SendErrorKind::Closed });
        }
        let mut served = AllServed::default();
        state.reserved -= 1;
        state.put_into_slot(item, &mut served);
        state.serve_senders(&mut served);
        drop(state);
        std::mem::forget(self);
        served.wake();
        Ok(())
    }
}

impl<T> Drop for SendPermit<'_, T> {
    fn drop(&mut self) {
        let mut served = AllServed::default();
        let mut state = self.sender.shared.0.lock();
        state.reserved -= 1;
        state.serve_senders(&mut served);
        drop(state);
        served.wake();
    }
}

impl<T> fmt::Debug for SendPermit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendPermit").finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// Receives the next item, waiting while there is none.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when there is an item. An item that was handed over is returned
    /// nevertheless.
    ///
    /// # Errors
    ///
    /// Canceled; or closed, once no item is left.
    pub fn recv(&self, io: &dyn Io) -> Result<T, RecvError> {
        self.recv_until(io, Until::Canceled)
    }

    /// Receives the next item, whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Closed, once no item is left.
    pub fn recv_uncancelable(&self, io: &dyn Io) -> Result<T, RecvError> {
        self.recv_until(io, Until::Served)
    }

    /// Receiving the next item, as one of many things to [wait for](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// Of what it comes to: closed, once no item is left.
    pub fn on_recv(&self) -> impl Selectable<Output = Result<T, RecvError>> + '_ {
        Queued::new(Receiving(self))
    }

    /// Receives the next item if there is one. Never suspends.
    ///
    /// # Errors
    ///
    /// Empty; or closed, once no item is left.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.shared.0.lock();
        match state.get(None) {
            Some((item, served)) => {
                drop(state);
                wake(served);
                Ok(item)
            }
            None if state.closed => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Closes the channel for everybody; see [`Sender::close`].
    pub fn close(&self) {
        self.shared.close();
    }

    /// How many items are in the channel.
    pub fn len(&self) -> usize {
        self.shared.0.lock().items.len()
    }

    /// Whether no item is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn recv_until(&self, io: &dyn Io, until: Until) -> Result<T, RecvError> {
        call(io, Receiving(self), until)?
    }
}

impl<T> State<T> {
    fn has_room(&self) -> bool {
        self.items.len() + self.reserved < self.capacity
    }

    /// Hands the item to a waiting receiver or stores it; it comes back when there is no room, the channel is
    /// closed, or the choice of who comes was decided elsewhere.
    fn put(&mut self, item: T, comer: Option<&Choice>) -> Result<Option<Served>, T> {
        if self.closed {
            return Err(item);
        }
        match self.receiving.give(item, comer) {
            Ok(served) => Ok(Some(served)),
            Err(item) if self.has_room() && decide(comer, None).is_ok() => {
                self.items.push_back(item);
                Ok(None)
            }
            Err(item) => Err(item),
        }
    }

    /// Takes the next item, and lets a waiting sender's move up; nothing when there is none, or when the choice of
    /// who comes was decided elsewhere.
    fn get(&mut self, comer: Option<&Choice>) -> Option<(T, Option<Served>)> {
        if self.items.is_empty() {
            // Past those who wait for a slot: what is handed over takes none.
            let (wanted, served) = self.sending.take_wanted(comer, |wanted| matches!(wanted, Wanted::Send(_)))?;
            return wanted.item().map(|item| (item, Some(served)));
        }
        decide(comer, None).ok()?;
        let item = self.items.pop_front()?;
        if !self.has_room() {
            return Some((item, None));
        }
        let served = self.sending.take(None).map(|(wanted, served)| {
            match wanted {
                Wanted::Send(next) => self.items.push_back(next),
                Wanted::Slot => self.reserved += 1,
            }
            served
        });
        Some((item, served))
    }

    /// Hands an item to a waiting receiver, or stores it where there is room.
    fn put_into_slot(&mut self, item: T, all: &mut AllServed) {
        match self.receiving.give(item, None) {
            Ok(served) => all.extend(Some(served)),
            Err(item) => self.items.push_back(item),
        }
    }

    /// Serves those who wait with an item, or for a slot, for as long as there is room.
    fn serve_senders(&mut self, all: &mut AllServed) {
        while self.has_room() {
            let Some((wanted, served)) = self.sending.take(None) else { return };
            all.extend(Some(served));
            match wanted {
                Wanted::Send(item) => self.put_into_slot(item, all),
                Wanted::Slot => self.reserved += 1,
            }
        }
    }
}

struct Receiving<'a, T>(&'a Receiver<T>);

impl<T> Call for Receiving<'_, T> {
    type State = State<T>;
    type Value = T;
    type Output = Result<T, RecvError>;

    fn lock(&self) -> &Lock<State<T>> {
        &self.0.shared.0
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<T> {
        &mut state.receiving
    }

    #[inline]
    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<T>> {
        match state.get(comer) {
            Some((item, served)) => Some(Done { value: Some(item), served: served.into() }),
            None if state.closed => Done::alone(None, comer),
            None => None,
        }
    }

    fn output(self, value: Option<T>) -> Result<T, RecvError> {
        value.ok_or(RecvError::Closed)
    }
}

struct Sending<'a, T> {
    sender: &'a Sender<T>,
    /// There, except while it is in the queue.
    item: RefCell<&'a mut Option<T>>,
}

impl<T> Call for Sending<'_, T> {
    type State = State<T>;
    type Value = Wanted<T>;
    type Output = Result<(), SendError<T>>;

    fn lock(&self) -> &Lock<State<T>> {
        &self.sender.shared.0
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<Wanted<T>> {
        &mut state.sending
    }

    #[inline]
    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<Wanted<T>>> {
        if state.closed {
            return Done::alone(None, comer).map(|done| Done { value: self.bring(), ..done });
        }
        let item = self.bring().and_then(Wanted::item)?;
        match state.put(item, comer) {
            Ok(served) => Some(Done { value: None, served: served.into() }),
            Err(item) => {
                self.lose(Some(Wanted::Send(item)));
                None
            }
        }
    }

    fn bring(&self) -> Option<Wanted<T>> {
        self.item.borrow_mut().take().map(Wanted::Send)
    }

    fn lose(&self, wanted: Option<Wanted<T>>) {
        **self.item.borrow_mut() = wanted.and_then(Wanted::item);
    }

    /// Whoever received it took the item; closing leaves it.
    fn output(self, wanted: Option<Wanted<T>>) -> Result<(), SendError<T>> {
        let item = wanted.and_then(Wanted::item);
        item.map_or(Ok(()), |item| Err(SendError { item, kind: SendErrorKind::Closed }))
    }
}

struct Reserving<'a, T>(&'a Sender<T>);

impl<'a, T> Call for Reserving<'a, T> {
    type State = State<T>;
    type Value = Wanted<T>;
    type Output = Result<SendPermit<'a, T>, SendErrorKind>;

    fn lock(&self) -> &Lock<State<T>> {
        &self.0.shared.0
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<Wanted<T>> {
        &mut state.sending
    }

    #[inline]
    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<Wanted<T>>> {
        if state.closed {
            return Done::alone(self.bring(), comer);
        }
        if !state.has_room() {
            return None;
        }
        let done = Done::alone(None, comer)?;
        state.reserved += 1;
        Some(done)
    }

    fn bring(&self) -> Option<Wanted<T>> {
        Some(Wanted::Slot)
    }

    /// Closing leaves what it wants.
    fn output(self, wanted: Option<Wanted<T>>) -> Self::Output {
        match wanted {
            None => Ok(SendPermit { sender: self.0 }),
            Some(_) => Err(SendErrorKind::Closed),
        }
    }
}

struct Closing<'a, T>(&'a Shared<T>);

impl<T> Call for Closing<'_, T> {
    type State = State<T>;
    type Value = ();
    type Output = ();

    fn lock(&self) -> &Lock<State<T>> {
        &self.0.0
    }

    fn queue(state: &mut State<T>) -> &mut WaitQueue<()> {
        &mut state.closing
    }

    #[inline]
    fn attempt(&self, state: &mut State<T>, comer: Option<&Choice>) -> Option<Done<()>> {
        if state.closed { Done::alone(None, comer) } else { None }
    }

    fn output(self, _: Option<()>) {}
}

impl<T> Shared<T> {
    fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let (sending, receiving) = (state.sending.release_all(), state.receiving.release_all());
        let closing = state.closing.release_all();
        drop(state);
        sending.wake();
        receiving.wake();
        closing.wake();
    }
}

fn wake(served: Option<Served>) {
    if let Some(served) = served {
        served.wake();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.0.lock().senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.0.lock().receivers += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.0.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.shared.close();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.0.lock();
        state.receivers -= 1;
        if state.receivers > 0 {
            return;
        }
        drop(state);
        self.shared.close();
        // Nobody will receive them; dropped outside of the lock, since they may hold senders.
        let items = std::mem::take(&mut self.shared.0.lock().items);
        drop(items);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
