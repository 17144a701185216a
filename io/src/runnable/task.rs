//! The views of a task that do not depend on what it runs: that of its runner, and that of its group.
#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::ptr::NonNull;

use super::options::TaskOptions;
use super::owner::Owned;
use super::queue::Ticket;
use crate::context::{TaskState, TooDeep};
use crate::list::Node;

/// A task as seen by its runner.
pub(crate) trait Run: Owned + Send + Sync {
    /// Runs the task. `ended` is called once, when nothing of the task is left and its joiner does not know yet. A
    /// panic of `ended` goes on when the task has completed.
    ///
    /// # Errors
    ///
    /// Returns an error if inline tasks nest too deep. In that case nothing has been done, and the turn is not over.
    ///
    /// # Safety
    ///
    /// The caller has the task's [`Turn`](super::turn::Turn), which is over unless this fails.
    unsafe fn run(&self, ended: &mut dyn FnMut()) -> Result<(), TooDeep>;
    /// Completes the task without having run it.
    ///
    /// # Safety
    ///
    /// The caller has the task's [`Turn`](super::turn::Turn), which is over then.
    unsafe fn abandon(&self);
    /// Says where the task waits to be begun.
    fn offer(&self, ticket: Ticket);
    fn state(&self) -> &TaskState;
    /// Returns the options of the task.
    fn options(&self) -> &TaskOptions;
    /// Returns the task's name in reports: its own name, or else the path of its closure.
    fn name(&self) -> &str;
}

/// A group as seen by its members.
pub(crate) trait Membership: fmt::Debug + Send + Sync {
    /// Counts a member, and passes requests to the group on to it.
    ///
    /// # Safety
    ///
    /// The node is in no group. It is alive and in place until it has left.
    unsafe fn enter(&self, node: NonNull<Node<TaskState>>);

    /// Removes a member from the count.
    ///
    /// # Safety
    ///
    /// The node has entered this group, and has not left it.
    unsafe fn leave(&self, node: NonNull<Node<TaskState>>);

    /// Takes the panic of the member that `who` names, which has no handle.
    fn panicked(&self, panic: Box<dyn Any + Send>, who: &dyn Fn() -> String);

    /// Returns true if the group, and not the member's runner, reports panics.
    fn contains_panics(&self) -> bool;
}
