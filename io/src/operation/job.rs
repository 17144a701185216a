//! Closures as parts of operations.

use std::fmt;

/// A closure that may block its thread.
pub struct Job<'a>(&'a mut (dyn FnMut() + Send));

impl<'a> Job<'a> {
    /// Makes a job of a closure, which is called at most once.
    pub fn new(closure: &'a mut (dyn FnMut() + Send)) -> Self {
        Self(closure)
    }

    /// Runs the closure on the calling thread.
    pub fn run(self) {
        (self.0)();
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}
