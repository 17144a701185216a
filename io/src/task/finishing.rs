//! The end of a task as a source of `select`.

use std::cell::Cell;

use super::cell::{Outcome, Watch};
use crate::Io;
use crate::context::Unparker;
use crate::sealed::Token;
use crate::select::{Fact, Selectable};

/// Waits for the end of a task whose only handle is exclusively borrowed.
pub(crate) struct Finishing<'a, T> {
    outcome: &'a (dyn Outcome<T> + 'a),
    watch: Cell<Option<Watch>>,
}

impl<'a, T> Finishing<'a, T> {
    pub(crate) fn of(outcome: Option<&'a (dyn Outcome<T> + 'a)>) -> Self {
        Self { outcome: outcome.expect("a handle is consumed once"), watch: Cell::new(None) }
    }
}

impl<T> Selectable for Finishing<'_, T> {
    type Output = ();

    fn output(self, _: usize, _: &dyn Io, _: Token) {}
}

impl<T> Fact for Finishing<'_, T> {
    fn is_there(&self, _: &dyn Io) -> bool {
        self.outcome.is_done()
    }

    fn watch(&self, waiter: Unparker) {
        self.watch.set(self.outcome.watch(waiter));
    }

    fn unwatch(&self) {
        if let Some(watch) = self.watch.take() {
            self.outcome.unwatch(watch);
        }
    }
}
