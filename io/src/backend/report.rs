//! What a runtime tells its program, where nobody waits for an answer.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::TaskRef;
use crate::context::{Report, no_suspend};

/// How many tasks a line names.
const NAMES_MAX: usize = 10;

/// Tells a line, if there is somebody to tell. What the program makes of it neither suspends the caller nor unwinds
/// it: a panic of the report ends here.
pub fn tell(report: Option<&Report>, line: &str) {
    if let Some(report) = report
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| no_suspend(|| report(line))))
    {
        // The panic hook has told it; its destructor may panic again.
        mem::forget(panic);
    }
}

/// What a panic says, where that is text.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is no text")
}

/// Tells, in one line, for which tasks a shutdown has waited so long; nothing, if there are none.
pub fn tell_stuck(report: Option<&Report>, tasks: &[TaskRef], waited: Duration) {
    if tasks.is_empty() {
        return;
    }
    let mut names: Vec<_> = tasks.iter().map(TaskRef::name).collect();
    names.sort_unstable();
    let more = match names.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(NAMES_MAX);
    let names = names.join(", ");
    tell(
        report,
        &format!(
            "shutdown: after {waited:?} these tasks have not ended, although they were asked to stop: {names}{more}"
        ),
    );
}
