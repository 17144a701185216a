//! The items of a channel, and the queues of the contexts that wait for it.

use std::collections::VecDeque;

use crate::waiting::{AllServed, Choice, Served, WaitQueue, decide};

/// The state of a channel, which its lock guards.
///
/// While a sender waits, there is no [room](State::has_room); while a receiver waits, there is no item. A receiver and a
/// sender with an item wait at the same time only if they are the same context, which selects from both; beside a receiver,
/// other contexts may wait for a slot.
pub(super) struct State<T> {
    pub(super) items: VecDeque<T>,
    pub(super) capacity: usize,
    /// The number of permits, each of which keeps a slot for an item that is still to come.
    pub(super) reserved: usize,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    pub(super) closed: bool,
    /// The senders that wait, each with what it wants.
    pub(super) sending: WaitQueue<Wanted<T>>,
    /// The receivers that wait.
    pub(super) receiving: WaitQueue<T>,
    /// The senders that wait until the channel is closed.
    pub(super) closing: WaitQueue<()>,
}

/// What a sender waits for.
pub(super) enum Wanted<T> {
    /// This item is to be sent.
    Send(T),
    /// A free slot is to be kept.
    Slot,
}

impl<T> State<T> {
    /// Makes the state of a channel with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            items: VecDeque::new(),
            capacity,
            reserved: 0,
            senders: 1,
            receivers: 1,
            closed: false,
            sending: WaitQueue::new(),
            receiving: WaitQueue::new(),
            closing: WaitQueue::new(),
        }
    }

    /// Returns true if one more item fits beside those that are stored and those that permits are kept for.
    pub(super) fn has_room(&self) -> bool {
        self.items.len() + self.reserved < self.capacity
    }

    /// Hands the item to a waiting receiver or stores it. Gives it back if there is no room, if the channel is
    /// closed, or if the choice of the caller, `comer`, was decided elsewhere.
    pub(super) fn put(&mut self, item: T, comer: Option<&Choice>) -> Result<Option<Served>, T> {
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

    /// Takes the next item, and lets the item of a waiting sender move up. Returns `None` if there is no item, or if the choice
    /// of the caller, `comer`, was decided elsewhere.
    pub(super) fn get(&mut self, comer: Option<&Choice>) -> Option<(T, Option<Served>)> {
        if self.items.is_empty() {
            // Past the senders that wait for a slot: an item that is handed over takes no slot.
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

    /// Hands an item to a waiting receiver, or stores it in a slot that the caller has seen to.
    pub(super) fn put_into_slot(&mut self, item: T, all: &mut AllServed) {
        match self.receiving.give(item, None) {
            Ok(served) => all.extend(Some(served)),
            Err(item) => self.items.push_back(item),
        }
    }

    /// Serves the senders that wait with an item or for a slot, for as long as there is room.
    pub(super) fn serve_senders(&mut self, all: &mut AllServed) {
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

impl<T> Wanted<T> {
    /// Returns the item that was to be sent.
    pub(super) fn item(self) -> Option<T> {
        match self {
            Self::Send(item) => Some(item),
            Self::Slot => None,
        }
    }
}
