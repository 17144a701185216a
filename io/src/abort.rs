//! A guard for code that must not unwind.

use std::process::abort;

/// Ends the process when it is dropped.
///
/// A frame that must not unwind makes one and [forgets](std::mem::forget) it at its end, so that it is dropped only by an
/// unwinding. The message of the panic has been printed by then.
#[derive(Debug)]
pub struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        abort();
    }
}
