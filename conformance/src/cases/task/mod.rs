//! Tasks: starting, joining, limits, options, and the program's code that runs in them.

mod inline;
mod joins;
mod limits;
mod locals;
mod options;
mod tasks;
mod user_code;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] =
    &[inline::CASES, joins::CASES, limits::CASES, locals::CASES, options::CASES, tasks::CASES, user_code::CASES];
