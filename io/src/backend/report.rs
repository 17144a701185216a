//! What a runtime tells its program, where nobody waits for an answer.

use std::time::Duration;

use crate::context::{Report, tell};
use crate::runnable::TaskRef;

/// How many tasks a line names.
const NAMES_MAX: usize = 10;

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
