//! The task-local values of a task.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

/// The task-local values that were made so far, by the addresses of their statics.
#[derive(Default)]
pub(crate) struct Locals(pub(crate) Vec<(*const (), Rc<dyn Any>)>);

impl Locals {
    /// Takes the value that was made last. It may depend on earlier ones.
    pub(crate) fn pop(&mut self) -> Option<Rc<dyn Any>> {
        self.0.pop().map(|(_, value)| value)
    }
}

/// The values of the running task, boxed because few tasks have any.
pub(crate) type LocalsCell = Cell<Option<Box<Locals>>>;
