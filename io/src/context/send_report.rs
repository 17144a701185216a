//! Reports to the program.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::no_suspend::no_suspend;
use super::report::Report;

/// Reports a line if there is a `report`. Whatever the program does with it, it neither suspends the caller nor unwinds
/// it: a panic of the report ends here.
pub fn send_report(report: Option<&Report>, line: &str) {
    if let Some(report) = report
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| no_suspend(|| report(line))))
    {
        // The panic hook has reported it; its destructor may panic again.
        mem::forget(panic);
    }
}

/// Returns the message of a panic if it is text.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text")
}
