//! The cases: what every `Io` does, from plain threads and from tasks. Each folder is a topic.

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

use crate::FileTarget;
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

/// What this process does where it is another one, which a case has started: it runs a program of the case, and no case.
pub(crate) fn other_process(subjects: &[Arc<dyn FileTarget>]) -> Option<ExitCode> {
    process::stdio::other_process(subjects)
}
