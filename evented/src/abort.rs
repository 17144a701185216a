//! Where unwinding must not go on.

use std::process::abort;

/// Ends the process when it is dropped, which is when the frame that made it unwinds; forgotten
/// otherwise. The panic's message was told by then.
#[derive(Debug)]
pub(crate) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        abort();
    }
}
