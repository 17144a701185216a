//! Files and directories.

mod atomic_files;
mod copies;
mod dirs;
mod file_locks;
mod files;
mod metadata;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] =
    &[atomic_files::CASES, copies::CASES, dirs::CASES, file_locks::CASES, files::CASES, files::PAIRS, metadata::CASES];
