//! The system's figures about this process.

use std::io;

use iolite::Io;
use iolite::fs::File;
use rustix::process::{Resource, getrlimit, setrlimit};

/// The maximum size of the status file.
const STATUS_BYTES_MAX: usize = 16 * 1024;

/// The resources that the process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) threads: u64,
    pub(crate) resident_bytes: u64,
}

/// The files with these figures. They are kept open, because no descriptor may be free when they are needed.
#[derive(Debug)]
pub(crate) struct Status(File);

impl Status {
    pub(crate) fn open(io: &dyn Io) -> io::Result<Self> {
        Ok(Self(File::open(io, "/proc/self/status")?))
    }

    /// Returns the current usage.
    pub(crate) fn usage(&self, io: &dyn Io) -> io::Result<Usage> {
        let mut bytes = vec![0; STATUS_BYTES_MAX];
        let count = self.0.read_at(io, &mut bytes, 0)?;
        let status = String::from_utf8_lossy(&bytes[..count]);
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let word = line.and_then(|line| line.split_whitespace().next());
            let number = word.and_then(|word| word.parse::<u64>().ok());
            number.ok_or_else(|| io::Error::other(format!("no {key} in /proc/self/status")))
        };
        Ok(Usage { threads: number("Threads")?, resident_bytes: number("VmRSS")? * 1024 })
    }
}

/// Raises the limit of open files as far as possible without privileges: there is one per host.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If this fails, the limit shows as EMFILE, which connecting and accepting survive.
    let _ = setrlimit(Resource::Nofile, limit);
}
