//! A guard for code that must not unwind.

use std::process::abort;

/// Ends the process when it is dropped, which happens only if the frame that made it unwinds; otherwise it is
/// forgotten. The panic's message has been printed by then.
#[derive(Debug)]
pub(crate) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        abort();
    }
}
