//! What others see of a task, whatever it runs: its runner, and its group.
#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::ptr::NonNull;

use super::options::TaskOptions;
use super::owner::Owned;
use super::queue::Ticket;
use crate::context::{TaskState, TooDeep};
use crate::list::Node;

/// A task as its runner sees it.
pub(crate) trait Run: Owned + Send + Sync {
    /// Runs the task. `ended` is called once, when nothing of the task is left and its joiner does not know yet; a
    /// panic of it goes on when the task has completed.
    ///
    /// # Errors
    ///
    /// Where inline tasks nest too deep: nothing has been done then, and the turn is not over.
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
    /// What the task asks for.
    fn options(&self) -> &TaskOptions;
    /// What the task is called in reports: its name, or else the path of its closure.
    fn name(&self) -> &str;
}

/// A group as its members see it.
pub(crate) trait Membership: fmt::Debug + Send + Sync {
    /// Counts a member, and passes on to it what is requested of the group.
    ///
    /// # Safety
    ///
    /// The node is in no group. It is alive and in place until it has left.
    unsafe fn enter(&self, node: NonNull<Node<TaskState>>);

    /// Counts a member no longer.
    ///
    /// # Safety
    ///
    /// The node has entered this group, and has not left it.
    unsafe fn leave(&self, node: NonNull<Node<TaskState>>);

    /// Takes the panic of the member that `who` names, which has no handle.
    fn panicked(&self, panic: Box<dyn Any + Send>, who: &dyn Fn() -> String);

    /// Returns true if the group, and not the member's runner, tells of panics.
    fn contains_panics(&self) -> bool;
}
