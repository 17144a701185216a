//! The right to begin a task.
#![allow(unsafe_code)]

use std::mem;

use super::owner::Owner;
use super::task::Run;
use crate::context::TooDeep;

/// The right to begin a task. There is one turn for each task. Its holder may run the task, once, or take its closure
/// back. When the turn is dropped, the task is abandoned, and a joiner of the task panics with a message that says so.
pub(crate) struct Turn<'a> {
    /// `None` once the turn is over.
    task: Option<Owner<dyn Run + 'a>>,
}

impl<'a> Turn<'a> {
    /// Makes the turn of a task.
    ///
    /// # Safety
    ///
    /// There has never been another turn of this task.
    pub(crate) unsafe fn new(task: Owner<dyn Run + 'a>) -> Self {
        Self { task: Some(task) }
    }

    /// Forgets what the task borrows.
    ///
    /// # Safety
    ///
    /// Until 'a ends, the turn is over, and the task's result is gone or belongs to its handle; owners of the cell may
    /// stay.
    pub(crate) unsafe fn assume_static(mut self) -> Turn<'static> {
        let task = self.task.take();
        // SAFETY: only the lifetime changes. The caller promises that nothing of that lifetime is in the cell when it
        // ends: the slot is what borrows, and is empty by then.
        Turn { task: unsafe { mem::transmute::<Option<Owner<dyn Run + 'a>>, Option<Owner<dyn Run>>>(task) } }
    }

    /// Runs the task to its end on the calling context. Calls `ended` when nothing of the task is left, before its
    /// joiner can know. A panic of `ended` goes on when the task has completed.
    ///
    /// # Errors
    ///
    /// Returns an error if inline tasks nest too deep; the task is then abandoned.
    pub(crate) fn run(mut self, ended: &mut dyn FnMut()) -> Result<(), TooDeep> {
        let task = self.give_up_task();
        // SAFETY: this was its turn.
        unsafe { task.run(ended) }.inspect_err(|_| {
            // SAFETY: it still is: the task did not run.
            unsafe { task.abandon() };
        })
    }

    /// Ends the turn without running the task.
    pub(crate) fn give_up(mut self) -> Owner<dyn Run + 'a> {
        self.give_up_task()
    }

    /// Returns true if it is the turn of the task at that address.
    pub(crate) fn is_of(&self, task: *const ()) -> bool {
        self.task().address() == task
    }

    /// Returns the task, which has not begun.
    #[inline]
    pub(crate) fn task(&self) -> &Owner<dyn Run + 'a> {
        self.task.as_ref().expect("a turn is over when it is consumed")
    }

    fn give_up_task(&mut self) -> Owner<dyn Run + 'a> {
        self.task.take().expect("a turn is over when it is consumed")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            // SAFETY: this was its turn, which nobody else has had.
            unsafe { task.abandon() };
        }
    }
}
