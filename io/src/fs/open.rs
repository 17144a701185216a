//! Opening files.

use std::io;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::file::File;
use crate::Io;
use crate::operation::{AsPathAt, OpenOptions, Operation, PathAt};

impl OpenOptions {
    /// Opens the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a file that was opened is still returned.
    ///
    /// # Errors
    ///
    /// The errors of `open`; [`io::ErrorKind::InvalidInput`] for invalid combinations of options, as in std.
    pub fn open(&self, io: &dyn Io, path: impl AsPathAt) -> io::Result<File> {
        let at = path.locate();
        let mut tries = 0;
        loop {
            match io.operate(Operation::Open { at, options: self }) {
                Err(error) if tries < RENAMED_MAX && self.was_renamed(at, &error) => tries += 1,
                result => return result?.opened().map(File::from),
            }
        }
    }

    /// Returns true if a directory on the way was renamed, so that the kernel cannot tell where `..` leads.
    fn was_renamed(&self, at: PathAt<'_>, error: &io::Error) -> bool {
        let waits = OFlags::from_bits_retain(self.custom_flags as u32).contains(OFlags::NONBLOCK);
        at.directory.is_some() && !waits && Errno::from_io_error(error) == Some(Errno::AGAIN)
    }
}

/// The maximum number of attempts to look up a path in a directory while others rename directories on it.
const RENAMED_MAX: usize = 1_000;
