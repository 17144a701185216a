//! What a panic says.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message of a panic whose payload was caught.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    };
    // A payload of the user's own type may panic again when it drops.
    quietly(|| drop(payload));
    text
}

/// Runs the user's code where a panic must not go on; what it said.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

fn quietly(f: impl FnOnce()) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(f)) {
        // The second of a chain of payloads that panic in their drop: leaked, for good.
        std::mem::forget(again);
    }
}
