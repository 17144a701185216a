//! Reports of a shutdown to the program.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::context::{Report, send_report};
use crate::runnable::TaskRef;

/// The maximum number of tasks that one line names.
const NAMES_MAX: usize = 10;

/// Reports events of a runtime to its program, above all about its shutdown: for which tasks it waits, or that nobody
/// waits.
pub struct ShutdownReport {
    report: Option<Report>,
    grace: Duration,
    has_named: AtomicBool,
}

impl fmt::Debug for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownReport")
            .field("grace", &self.grace)
            .field("has_named", &self.has_named)
            .finish_non_exhaustive()
    }
}

impl ShutdownReport {
    /// Reports to `report`. Tasks may take `grace` to end before they are named.
    pub fn new(report: Option<Report>, grace: Duration) -> Self {
        Self { report, grace, has_named: AtomicBool::new(false) }
    }

    /// Returns the time that tasks may take to end before they are named.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Returns the function that receives reports.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Reports a line.
    pub fn send(&self, line: &str) {
        send_report(self.report.as_ref(), line);
    }

    /// Names the tasks that have not ended, if there are any and none were named before.
    pub fn name_stuck(&self, tasks: &[TaskRef]) {
        // Relaxed: the update only decides who reports.
        if !tasks.is_empty() && !self.has_named.swap(true, Ordering::Relaxed) {
            name_stuck(self.report.as_ref(), tasks, self.grace);
        }
    }

    /// Reports that the runtime was dropped by one of its own tasks, which cannot wait for it.
    pub fn send_dropped_by_own_task(&self) {
        self.send(
            "the runtime was dropped by one of its own tasks: its shutdown goes on without anybody waiting for it",
        );
    }
}

/// Reports in one line the tasks for which a shutdown has waited this long. Reports nothing if there are none.
fn name_stuck(report: Option<&Report>, tasks: &[TaskRef], waited: Duration) {
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
    send_report(
        report,
        &format!(
            "shutdown: after {waited:?} these tasks have not ended, although they were asked to stop: {names}{more}"
        ),
    );
}
