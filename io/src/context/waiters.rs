//! Who is to be woken when something changes.

use super::block::Unparker;

/// Contexts that wait for a change, all of which are woken by it. Lives under the lock of what changes.
///
/// Each change lets them go: who looks and still has to wait enters again, before the lock is released.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<Unparker>);

impl Waiters {
    /// Wakes that context at the next change. Again, it does nothing.
    pub(crate) fn enter(&mut self, waiter: Unparker) {
        if !self.0.contains(&waiter) {
            self.0.push(waiter);
        }
    }

    /// Does not wake that context any more, if it would.
    pub(crate) fn leave(&mut self, waiter: Unparker) {
        self.0.retain(|other| *other != waiter);
    }

    pub(crate) fn wake(&mut self) {
        self.0.drain(..).for_each(Unparker::unpark);
    }
}
