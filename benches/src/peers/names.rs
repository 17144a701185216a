//! The job `names`: the operations on a file system, and how often they are repeated. Each peer has a program for them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::measure::Stopwatch;
use crate::record::{Figures, figures};

/// The number of folders in the tree, and the number of files in each of them.
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
    /// Reads the metadata of a file.
    Metadata,
    /// Lists the folders of a tree, with the metadata of each entry; counted per entry.
    Walk,
    /// Opens a small file, reads all of it and closes it.
    Read,
    /// Creates a small file, writes and closes it, opens and reads it, and removes it.
    Replace,
    /// Starts a program and waits for its end.
    Status,
}

impl Call {
    pub(crate) const ALL: [Call; 5] = [Call::Metadata, Call::Walk, Call::Read, Call::Replace, Call::Status];

    /// Returns the number of operations between two looks at the clock.
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
    /// Returns the tree to list.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Returns a file that exists.
    pub(super) fn file(&self) -> PathBuf {
        self.tree().join("0").join("0")
    }

    /// Returns a file that does not exist.
    pub(super) fn new_file(&self) -> PathBuf {
        self.folder.join("new")
    }

    /// Returns the figures of this job from its stopwatch.
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

/// Makes the tree for the jobs.
///
/// # Errors
///
/// Those of creating files.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    for folder in (0..FOLDERS).map(|number| folder.join("tree").join(number.to_string())) {
        fs::create_dir_all(&folder)?;
        (0..FILES).try_for_each(|number| fs::write(folder.join(number.to_string()), CONTENT))?;
    }
    Ok(())
}

/// Checks that a walk has found the whole tree.
pub(super) fn check_walk(entries: u64) -> io::Result<()> {
    check(entries == Call::Walk.chunk())
}

/// Checks that the file is the one that was written.
pub(super) fn check_content(bytes: &[u8]) -> io::Result<()> {
    check(bytes == CONTENT)
}

pub(super) fn check(is_right: bool) -> io::Result<()> {
    if is_right { Ok(()) } else { Err(io::Error::other("the answer is not the one that it has to be")) }
}
