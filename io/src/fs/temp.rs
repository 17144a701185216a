//! Temporary files.

use std::io;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::dir::Dir;
use super::file::File;
use super::remove::remove_file;
use crate::Io;
use crate::operation::{AsPathAt, OpenOptions};

/// Makes a file without a name in `folder` (usually [`std::env::temp_dir`]), for reading and writing by its owner.
/// Nobody else can find it, and it vanishes when it is closed, even if the process is killed.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `open`.
pub fn temp_file(io: &dyn Io, folder: impl AsPathAt) -> io::Result<File> {
    let folder = folder.locate();
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlags::TMPFILE.bits() as i32);
    match options.open(io, folder) {
        // The file system does not support such files.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::OPNOTSUPP | Errno::ISDIR)) => {
            let dir = Dir::open(io, folder)?;
            io.shield(|io| {
                let (file, name) = create_unique(io, &dir, ".", 0o600)?;
                remove_file(io, dir.at(&name))?;
                Ok(file)
            })
        }
        file => file,
    }
}

/// Makes a file in the directory with a unique name that begins with `prefix`.
pub(super) fn create_unique(io: &dyn Io, dir: &Dir, prefix: &str, mode: u32) -> io::Result<(File, String)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode);
    loop {
        let mut random = [0; 8];
        io.random(&mut random)?;
        let name = format!("{prefix}{:016x}.tmp", u64::from_ne_bytes(random));
        match options.open(io, dir.at(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => return file.map(|file| (file, name)),
        }
    }
}
