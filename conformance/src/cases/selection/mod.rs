//! Waiting for the first of several things.

mod select;
pub(super) mod select_races;
mod select_ready;
mod select_shapes;
mod select_sources;
mod select_told;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] = &[
    select::CASES,
    select_races::CASES,
    select_ready::CASES,
    select_shapes::CASES,
    select_races::PAIRS,
    select_sources::CASES,
    select_sources::PAIRS,
    select_told::CASES,
    select_told::PAIRS,
];
