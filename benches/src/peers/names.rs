//! The job `names`: what is asked of a file system, and how often. Each peer has a program that asks it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::measure::Stopwatch;
use crate::record::{Figures, figures};

/// How many folders there are in the tree, and how many files in each of them.
const FOLDERS: usize = 100;
const FILES: usize = 10;
/// The content of each small file.
pub(super) const CONTENT: [u8; 512] = [0x5A; 512];
/// The program that is started: it does nothing.
pub(super) const PROGRAM: &str = "true";

/// A measurement of one kind of call on the files of a folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) folder: PathBuf,
    pub(crate) call: Call,
    pub(crate) seconds: f64,
}

/// The operation that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Call {
    /// Asking for the metadata of a file.
    Metadata,
    /// Listing the folders of a tree, with the metadata of each of their entries: one entry.
    Walk,
    /// Opening a small file, reading all of it and closing it.
    Read,
    /// Making a small file, writing and closing it, opening and reading it, and removing it.
    Replace,
    /// Starting a program and waiting for its end.
    Status,
}

impl Call {
    pub(crate) const ALL: [Call; 5] = [Call::Metadata, Call::Walk, Call::Read, Call::Replace, Call::Status];

    /// How many operations there are between two looks at the clock.
    pub(super) fn chunk(self) -> u64 {
        match self {
            Call::Metadata | Call::Read => 500,
            Call::Walk => (FOLDERS * (FILES + 1)) as u64,
            Call::Replace => 100,
            Call::Status => 5,
        }
    }
}

impl Names {
    /// The tree, which is listed.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// A file that is there.
    pub(super) fn file(&self) -> PathBuf {
        self.tree().join("0").join("0")
    }

    /// A file that is not there.
    pub(super) fn new_file(&self) -> PathBuf {
        self.folder.join("new")
    }

    /// What the watch of this job has seen.
    pub(super) fn figures(&self, watch: &Stopwatch) -> Figures {
        let mut all = Figures::new();
        all.insert("mode".into(), serde_json::to_value(self.call).expect("a word"));
        all.extend(figures([
            ("cpu_us_per_operation", watch.cpu_us_per_operation()),
            ("us_per_operation", watch.ns_per_operation() / 1000.0),
        ]));
        all
    }
}

/// Makes the tree that the jobs are about.
///
/// # Errors
///
/// Those of making files.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    for folder in (0..FOLDERS).map(|number| folder.join("tree").join(number.to_string())) {
        fs::create_dir_all(&folder)?;
        (0..FILES).try_for_each(|number| fs::write(folder.join(number.to_string()), CONTENT))?;
    }
    Ok(())
}

/// Whether a walk has found all of the tree.
pub(super) fn check_walk(entries: u64) -> io::Result<()> {
    check(entries == Call::Walk.chunk())
}

/// Whether the file is the one that was written.
pub(super) fn check_content(bytes: &[u8]) -> io::Result<()> {
    check(bytes == CONTENT)
}

pub(super) fn check(is_right: bool) -> io::Result<()> {
    if is_right { Ok(()) } else { Err(io::Error::other("the answer is not the one that it has to be")) }
}
