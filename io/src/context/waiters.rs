//! Contexts that are woken when something changes.

use super::block::Unparker;

/// Contexts that wait for a change. The list lives under the lock of the object that changes.
///
/// A change wakes all of them and empties the list. A context that finds that it still has to wait enters again, before it
/// releases the lock.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<Unparker>);

impl Waiters {
    /// Adds a context that the next change wakes. A context that is in the list already is not added again.
    pub(crate) fn enter(&mut self, waiter: Unparker) {
        if !self.0.contains(&waiter) {
            self.0.push(waiter);
        }
    }

    /// Removes a context if it is in the list.
    pub(crate) fn leave(&mut self, waiter: Unparker) {
        self.0.retain(|other| *other != waiter);
    }

    pub(crate) fn wake(&mut self) {
        self.0.drain(..).for_each(Unparker::unpark);
    }
}
