//! Messages of panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the message of a caught panic payload.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    };
    // A payload of the user's own type may panic again when it is dropped.
    quietly(|| drop(payload));
    text
}

/// Runs the user's code where a panic must not continue, and returns the panic's message as an error.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

fn quietly(f: impl FnOnce()) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(f)) {
        // This is the second in a chain of payloads whose destructors panic: it is leaked.
        std::mem::forget(again);
    }
}
