//! A closure as data of an operation.

use std::fmt;

/// A closure that may block its thread.
pub struct Job<'a>(&'a mut (dyn FnMut() + Send));

impl<'a> Job<'a> {
    /// Lends a closure, which is called once at most.
    pub fn new(closure: &'a mut (dyn FnMut() + Send)) -> Self {
        Self(closure)
    }

    /// Runs it, here.
    pub fn run(self) {
        (self.0)();
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}
