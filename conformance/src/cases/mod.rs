//! The cases: the behaviour of every `Io`, from plain threads and from tasks. Each folder is a topic.

mod cancellation;
mod fs;
mod group;
mod net;
mod process;
mod race;
mod runtime;
mod selection;
mod sync;
mod task;

use std::process::ExitCode;
use std::sync::Arc;

use crate::Subject;
use crate::case::Case;

/// The lists of each topic. A topic that is missing here is dead code.
pub(crate) const LISTS: &[&[&[Case]]] = &[
    task::LISTS,
    group::LISTS,
    cancellation::LISTS,
    sync::LISTS,
    selection::LISTS,
    net::LISTS,
    fs::LISTS,
    process::LISTS,
    race::LISTS,
    runtime::LISTS,
];

/// Runs the program of a case, and no cases, if this process is another one that a case has started.
pub(crate) fn other_process(subjects: &[Arc<dyn Subject>]) -> Option<ExitCode> {
    process::stdio::other_process(subjects)
}
