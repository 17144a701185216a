//! Cancellation: requests, cancellation points, timeouts and tokens.

mod cancel;
mod file_points;
mod other_points;
pub(super) mod points;
mod timeouts;
mod tokens;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] =
    &[cancel::CASES, other_points::CASES, points::CASES, timeouts::CASES, tokens::CASES, file_points::CASES];
