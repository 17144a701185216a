//! What the system says about this process.

use std::io;

use iolite::Io;
use iolite::fs::File;
use rustix::process::{Resource, getrlimit, setrlimit};

/// What the process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) threads: u64,
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// As of now.
    pub(crate) fn read(io: &dyn Io) -> io::Result<Self> {
        let mut status = Vec::new();
        File::open(io, "/proc/self/status")?.read_to_end(io, &mut status)?;
        let status = String::from_utf8_lossy(&status);
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .ok_or_else(|| io::Error::other(format!("no {key} in /proc/self/status")))
        };
        Ok(Self { threads: number("Threads")?, resident_bytes: number("VmRSS")? * 1024 })
    }
}

/// Raises the limit of open files as far as it goes without privileges: there is one per host.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it fails, the limit shows itself as EMFILE, which connecting and accepting survive.
    let _ = setrlimit(Resource::Nofile, limit);
}
