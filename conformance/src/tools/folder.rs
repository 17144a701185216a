//! Folders for cases.

use std::path::Path;

use iolite_io::Io;

use crate::On;

/// Runs the case twice, with a folder of its own each time.
pub fn in_folder(on: &On, case: impl Fn(&dyn Io, &Path) + Sync) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        case(io, folder.path());
    });
}
