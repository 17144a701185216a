//! The values that a task has made of its own.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

/// The values that a task has made so far, by the addresses of their statics.
#[derive(Default)]
pub(crate) struct Locals(pub(crate) Vec<(*const (), Rc<dyn Any>)>);

impl Locals {
    /// Takes the last that was made: it may have been made of earlier ones.
    pub(crate) fn pop(&mut self) -> Option<Rc<dyn Any>> {
        self.0.pop().map(|(_, value)| value)
    }
}

/// Those of the task that runs, boxed since few tasks have any.
pub(crate) type LocalsCell = Cell<Option<Box<Locals>>>;
