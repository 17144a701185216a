//! A deadline as a source.

use super::{Fact, Selectable};
use crate::Io;
use crate::sealed::Token;
use crate::time::Instant;

impl Selectable for Instant {
    type Output = ();

    fn output(self, _: usize, _: &dyn Io, _: Token) {}
}

impl Fact for Instant {
    fn is_there(&self, io: &dyn Io) -> bool {
        *self <= io.now()
    }

    fn deadline(&self) -> Option<Instant> {
        Some(*self)
    }
}
