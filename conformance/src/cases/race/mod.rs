//! Races: of completions with requests and timeouts, and of calls with each other.

mod ends;
mod races;
mod races_of_files;
mod races_of_sockets;
mod races_of_waits;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] =
    &[races::CASES, races_of_files::CASES, races_of_sockets::CASES, races_of_waits::CASES, races::PAIRS];
