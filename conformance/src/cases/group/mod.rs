//! Tasks and operations that are awaited or canceled together.

mod batches;
mod completion_queues;
mod failures;
mod group_cancel;
mod groups;
mod join_sets;
mod try_groups;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] = &[
    batches::CASES,
    completion_queues::CASES,
    failures::CASES,
    group_cancel::CASES,
    groups::CASES,
    join_sets::CASES,
    try_groups::CASES,
];
