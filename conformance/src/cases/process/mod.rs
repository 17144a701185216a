//! Child processes, signals and standard streams.

pub(super) mod processes;
pub(super) mod signals;
pub(super) mod stdio;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] =
    &[processes::CASES, processes::PAIRS, signals::CASES, signals::PAIRS, stdio::CASES];
