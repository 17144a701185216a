//! The job `files`: it chooses the next read, checks the page, and decides when to stop. Each peer has a program that
//! asks it, and reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::measure::Usage;
use crate::record::{Figures, figures};

/// The size of each read. Its offset in the file and its address in memory are multiples of that.
pub(crate) const PAGE_BYTES: usize = 4096;
/// The number of reads between two looks at the clock.
const LOOKS: u64 = 64;

/// The file to read, and the way of reading.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) mode: Mode,
    pub(crate) in_flight: u32,
    pub(crate) seconds: f64,
}

/// The source of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The device: `O_DIRECT`.
    Direct,
    /// The page cache.
    Hot,
}

impl Files {
    /// Returns the flags for `open` besides those for reading.
    pub(super) fn custom_flags(&self) -> i32 {
        match self.mode {
            Mode::Direct => OFlags::DIRECT.bits() as i32,
            Mode::Hot => 0,
        }
    }

    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(self.custom_flags()).open(&self.path)
    }

    /// Brings the file into the page cache, if that is the question.
    pub(crate) fn warm_up(&self) -> io::Result<()> {
        if self.mode == Mode::Hot {
            io::copy(&mut File::open(&self.path)?.take(self.bytes), &mut io::sink())?;
        }
        Ok(())
    }
}

/// Creates the file, if there is none of that size: each page begins with its number.
///
/// # Errors
///
/// Another file exists under that name; those of writing, in particular a full disk. In that case the new file is
/// removed.
pub(crate) fn make(path: &Path, bytes: u64) -> io::Result<()> {
    if path.metadata().is_ok_and(|metadata| metadata.len() == bytes) {
        return Ok(());
    }
    let made = OpenOptions::new().write(true).create_new(true).open(path).and_then(|file| {
        write(file, bytes).inspect_err(|_| {
            // The error of the write is more informative than an error of this call.
            let _ = std::fs::remove_file(path);
        })
    });
    made.map_err(|error| {
        let (path, mib) = (path.display(), bytes >> 20);
        io::Error::new(error.kind(), format!("{path}, of {mib} MiB: {error}; choose another --file, or less --mib"))
    })
}

fn write(file: File, bytes: u64) -> io::Result<()> {
    let mut output = io::BufWriter::with_capacity(1 << 20, file);
    let mut page = [0xA5; PAGE_BYTES];
    for number in 0..bytes / PAGE_BYTES as u64 {
        page[..8].copy_from_slice(&number.to_le_bytes());
        output.write_all(&page)?;
    }
    output.flush()?;
    output.get_ref().sync_all()
}

/// Returns memory for a read, aligned to its size. It lives as long as the process.
pub(super) fn page() -> &'static mut [u8; PAGE_BYTES] {
    #[repr(align(4096))]
    struct Page([u8; PAGE_BYTES]);
    &mut Box::leak(Box::new(Page([0; PAGE_BYTES]))).0
}

/// Chooses random reads for a while, after a warm-up of a tenth of it.
pub(super) struct Reads {
    files: Files,
    begun: AtomicU64,
    enough: AtomicBool,
    watch: Mutex<Watch>,
}

/// A reading of the clock, the CPU time and the count.
struct Look {
    at: Instant,
    usage: Usage,
    reads: u64,
}

enum Watch {
    WarmingUp { since: Instant },
    Measuring(Look),
    Ended(Figures),
}

impl Reads {
    pub(super) fn new(files: &Files) -> Self {
        Self {
            files: files.clone(),
            begun: AtomicU64::new(0),
            enough: AtomicBool::new(false),
            watch: Mutex::new(Watch::WarmingUp { since: Instant::now() }),
        }
    }

    /// Returns the offset of the next page to read, or `None` when the time is over.
    pub(super) fn next(&self) -> Option<u64> {
        let number = self.begun.fetch_add(1, Relaxed);
        if number.is_multiple_of(LOOKS) {
            self.look(number);
        }
        if self.enough.load(Relaxed) {
            return None;
        }
        Some(Rng::with_seed(number).u64(..self.files.bytes / PAGE_BYTES as u64) * PAGE_BYTES as u64)
    }

    /// Checks that the page is the one at this offset of the file.
    pub(super) fn check(&self, offset: u64, page: &[u8]) -> io::Result<()> {
        let number = offset / PAGE_BYTES as u64;
        if page.len() == PAGE_BYTES && page[..8] == number.to_le_bytes() {
            return Ok(());
        }
        Err(io::Error::other(format!("page {number} of the file is something else")))
    }

    /// Returns the figures, after `next` has returned `None`.
    pub(super) fn figures(&self) -> io::Result<Figures> {
        match &*self.watch.lock().expect("nobody panics") {
            Watch::Ended(figures) => Ok(figures.clone()),
            Watch::WarmingUp { .. } | Watch::Measuring(_) => Err(io::Error::other("the reads ended early")),
        }
    }

    fn look(&self, reads: u64) {
        let usage = Usage::of_process().expect("a process may ask what it has used");
        let now = Look { at: Instant::now(), usage, reads };
        let duration = Duration::from_secs_f64(self.files.seconds);
        let mut watch = self.watch.lock().expect("nobody panics");
        match &*watch {
            Watch::WarmingUp { since } if now.at - *since >= duration / 10 => *watch = Watch::Measuring(now),
            Watch::Measuring(before) if now.at - before.at >= duration => {
                *watch = Watch::Ended(self.since(before, &now));
                self.enough.store(true, Relaxed);
            }
            _ => {}
        }
    }

    fn since(&self, before: &Look, now: &Look) -> Figures {
        let reads = (now.reads - before.reads) as f64;
        let mut all = Figures::new();
        all.insert("mode".into(), serde_json::to_value(self.files.mode).expect("a word"));
        all.extend(figures([
            ("iops", reads / (now.at - before.at).as_secs_f64()),
            ("cpu_us_per_read", now.usage.since(before.usage).total_us() / reads),
        ]));
        all
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_file_is_made_once_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        make(&path, 8 * PAGE_BYTES as u64).unwrap();
        make(&path, 8 * PAGE_BYTES as u64).unwrap();
        let files = Files { path, bytes: 8 * PAGE_BYTES as u64, mode: Mode::Hot, in_flight: 1, seconds: 0.01 };
        files.warm_up().unwrap();
        let reads = Reads::new(&files);
        let mut all = [0; 8 * PAGE_BYTES];
        files.open().unwrap().read_exact(&mut all).unwrap();
        while let Some(offset) = reads.next() {
            reads.check(offset, &all[offset as usize..][..PAGE_BYTES]).unwrap();
            assert!(reads.check(offset ^ PAGE_BYTES as u64, &all[offset as usize..][..PAGE_BYTES]).is_err());
        }
        let figures = reads.figures().unwrap();
        assert_eq!(figures["mode"], "hot");
        assert!(figures["iops"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn another_file_is_not_overwritten_and_the_error_says_what_to_do() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = make(file.path(), PAGE_BYTES as u64).unwrap_err();
        assert!(error.to_string().contains("--file"), "{error}");
        assert_eq!(file.path().metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_page_is_aligned() {
        assert_eq!(page().as_ptr() as usize % PAGE_BYTES, 0);
    }
}
