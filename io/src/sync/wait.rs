//! Waiting in one queue. ([`Queued`](super::queued::Queued) waits in many.)
#![allow(unsafe_code)]

use std::sync::MutexGuard;

use super::forms::Until;
use crate::context::{self, WaitEnd};
use crate::primitive::Lock;
use crate::waiting::{Place, WaitQueue};
use crate::{Canceled, Io};

/// The end of a waiter that gave up without having been served.
#[derive(Debug)]
pub(super) struct GaveUp<V> {
    /// The value that it had brought.
    pub(super) brought: Option<V>,
    pub(super) why: Canceled,
}

impl<V> From<GaveUp<V>> for Canceled {
    fn from(gave_up: GaveUp<V>) -> Self {
        gave_up.why
    }
}

/// Links the caller into a queue, releases the lock, and waits. Returns the value with which the waiter was served.
///
/// The caller has passed its cancellation point already.
///
/// # Errors
///
/// [`GaveUp`]: the waiter has left the queue, and the lock was released since. If others that wait behind it can be served already, the caller has to serve them.
///
/// # Panics
///
/// Panics inside `no_suspend`, before anything is linked.
pub(super) fn wait<S, V>(
    io: &dyn Io,
    lock: &Lock<S>,
    mut state: MutexGuard<'_, S>,
    queue: impl Fn(&mut S) -> &mut WaitQueue<V>,
    brought: Option<V>,
    until: Until,
) -> Result<Option<V>, GaveUp<V>> {
    let unparker = context::current(|context| {
        context.assert_may_suspend();
        context.unparker()
    });
    let place = Place::new(unparker, None, brought);
    // SAFETY: the place is new, so it is linked for the first time, and has no choice. It is a local that does not move
    // before this function has seen that it was served, or has taken it out of the queue. Nothing in between unwinds: the
    // waits abort instead, releasing and taking the lock does not panic, and `queue` names a field.
    unsafe { place.enter(queue(&mut state)) };
    drop(state);

    let served = || place.is_served();
    let end = match until {
        Until::Served => {
            context::wait_uncancelable(io, served, |_| {});
            None
        }
        Until::Canceled => context::wait(io, None, served).err(),
    };
    let Some(end) = end else {
        return Ok(place.into_value());
    };
    let mut state = lock.lock();
    // SAFETY: it was linked above, into the queue that `queue` names in the state of this same lock.
    unsafe { place.leave(queue(&mut state)) };
    drop(state);
    let gave_up = !place.is_served();
    let value = place.into_value();
    match end {
        WaitEnd::Canceled(canceled) if gave_up => Err(GaveUp { brought: value, why: canceled }),
        // Completion wins, and the request stays pending.
        WaitEnd::Canceled(canceled) => {
            io.recancel(canceled);
            Ok(value)
        }
        WaitEnd::TimedOut => unreachable!("a wait without a deadline timed out"),
    }
}
