//! The calls in which a sender waits: for an item to be sent, for a slot, for the end.

use std::cell::RefCell;

use super::permit::SendPermit;
use super::shared::Shared;
use super::state::{State, Wanted};
use crate::primitive::Lock;
use crate::sync::error::{SendError, SendErrorKind};
use crate::sync::queued::{Call, Done};
use crate::waiting::{Choice, WaitQueue};

/// The call that sends an item.
pub(super) struct Sending<'a, T> {
    pub(super) shared: &'a Shared<T>,
    /// The item, except while it is in the queue.
    pub(super) item: RefCell<&'a mut Option<T>>,
}

impl<T> Call for Sending<'_, T> {
    type State = State<T>;
    type Value = Wanted<T>;
    type Output = Result<(), SendError<T>>;

    fn lock(&self) -> &Lock<State<T>> {
        self.shared.state()
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

    /// A receiver has taken the item; closing the channel leaves it.
    fn output(self, wanted: Option<Wanted<T>>) -> Result<(), SendError<T>> {
        let item = wanted.and_then(Wanted::item);
        item.map_or(Ok(()), |item| Err(SendError { item, kind: SendErrorKind::Closed }))
    }
}

/// The call that keeps a slot for an item.
pub(super) struct Reserving<'a, T>(pub(super) &'a Shared<T>);

impl<'a, T> Call for Reserving<'a, T> {
    type State = State<T>;
    type Value = Wanted<T>;
    type Output = Result<SendPermit<'a, T>, SendErrorKind>;

    fn lock(&self) -> &Lock<State<T>> {
        self.0.state()
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

    /// A sender that is served has its wish taken; closing the channel leaves it.
    fn output(self, wanted: Option<Wanted<T>>) -> Self::Output {
        match wanted {
            None => Ok(SendPermit::new(self.0)),
            Some(_) => Err(SendErrorKind::Closed),
        }
    }
}

/// The call that waits until the channel is closed.
pub(super) struct Closing<'a, T>(pub(super) &'a Shared<T>);

impl<T> Call for Closing<'_, T> {
    type State = State<T>;
    type Value = ();
    type Output = ();

    fn lock(&self) -> &Lock<State<T>> {
        self.0.state()
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
