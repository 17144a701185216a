//! The most recently committed events, for subscribers that follow live.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iolite::sync::mpmc::Sender;

use crate::codec::OutgoingMessage;

/// The number of events that are kept; a subscriber that is further behind reads from the database.
const EVENTS_MAX: usize = 4096;

/// A committed event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The relay's own number of the event, contiguous from 1.
    pub(crate) position: u64,
    pub(crate) frame: Box<[u8]>,
}

/// The tail of the committed events, and the subscribers that wait for more.
///
/// Its lock is std's: it is held only briefly and never across a suspension, and the database's worker, which
/// publishes, has no `Io` at hand.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The position of the last committed event.
    head: u64,
    /// The events up to `head`.
    recent: VecDeque<Arc<Event>>,
    followers: Vec<(u64, Sender<OutgoingMessage>)>,
    followers_ever: u64,
}

/// The events after a position.
#[derive(Debug)]
pub(crate) enum Next {
    /// These events, and perhaps more.
    Events(Vec<Arc<Event>>),
    /// The next events are only in the database.
    Older,
    /// There are no events yet.
    UpToDate,
}

impl Live {
    /// Notes that the committed events up to `head` are in the database; this process continues after them.
    pub(crate) fn start_at(&self, head: u64) {
        let mut state = self.lock();
        if state.head != head {
            state.head = head;
            state.recent.clear();
            state.wake();
        }
    }

    /// Appends committed events and wakes all followers. Never suspends.
    pub(crate) fn publish(&self, events: impl Iterator<Item = Event>) {
        let mut state = self.lock();
        for event in events {
            state.head = event.position;
            if state.recent.len() == EVENTS_MAX {
                state.recent.pop_front();
            }
            state.recent.push_back(Arc::new(event));
        }
        state.wake();
    }

    /// Returns the events after `position`, at most `count`.
    pub(crate) fn after(&self, position: u64, count: usize) -> Next {
        let state = self.lock();
        if position >= state.head {
            return Next::UpToDate;
        }
        let behind = (state.head - position) as usize;
        match state.recent.len().checked_sub(behind) {
            Some(skipped) => Next::Events(state.recent.iter().skip(skipped).take(count).cloned().collect()),
            None => Next::Older,
        }
    }

    /// Returns the position of the last committed event.
    pub(crate) fn head(&self) -> u64 {
        self.lock().head
    }

    /// Sends [`OutgoingMessage::Wake`] after each commit, until the returned value drops.
    pub(crate) fn follow(&self, follower: Sender<OutgoingMessage>) -> Following<'_> {
        let mut state = self.lock();
        state.followers_ever += 1;
        let id = state.followers_ever;
        state.followers.push((id, follower));
        Following { live: self, id }
    }

    /// Returns the number of followers.
    pub(crate) fn followers(&self) -> usize {
        self.lock().followers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&self) {
        for (_, follower) in &self.followers {
            // If the channel is full, the follower has something to wake up for anyway, and then looks here. If it is
            // closed, the follower is leaving.
            let _ = follower.try_send(OutgoingMessage::Wake);
        }
    }
}

/// A follower's place; dropping it gives up the place.
#[derive(Debug)]
pub(crate) struct Following<'a> {
    live: &'a Live,
    id: u64,
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.live.lock().followers.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod test {
    use super::{EVENTS_MAX, Event, Live, Next};
    use crate::codec::outgoing;

    fn publish(live: &Live, positions: std::ops::RangeInclusive<u64>) {
        live.publish(positions.map(|position| Event { position, frame: Box::default() }));
    }

    fn positions(next: Next) -> Vec<u64> {
        match next {
            Next::Events(events) => events.iter().map(|event| event.position).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn positions_go_on_without_gap_or_repetition() {
        let live = Live::default();
        live.start_at(10);
        assert!(matches!(live.after(10, 5), Next::UpToDate));
        assert!(matches!(live.after(9, 5), Next::Older), "event 10 is in the database only");
        publish(&live, 11..=14);
        assert!(matches!(live.after(9, 5), Next::Older));
        assert_eq!(positions(live.after(10, 3)), [11, 12, 13]);
        assert_eq!(positions(live.after(13, 3)), [14]);
        assert!(matches!(live.after(14, 3), Next::UpToDate));
        assert!(matches!(live.after(99, 3), Next::UpToDate), "a cursor from the future waits");
        publish(&live, 15..=14 + EVENTS_MAX as u64);
        assert!(matches!(live.after(13, 1), Next::Older));
        assert_eq!(positions(live.after(14, 1)), [15]);
    }

    #[test]
    fn followers_are_woken_until_they_leave() {
        let live = Live::default();
        let (sender, receiver) = outgoing();
        let following = live.follow(sender);
        publish(&live, 1..=1);
        assert!(receiver.try_recv().is_ok());
        drop(following);
        publish(&live, 2..=2);
        assert!(receiver.try_recv().is_err());
        assert_eq!(live.followers(), 0);
    }
}
