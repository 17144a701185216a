//! The job `files`: what is read next, whether it is what it should be, and when it is enough. Each peer has
//! a program that asks this, and reads.

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

/// How much each read is for. Its place in the file and in memory is a multiple of that.
pub(crate) const PAGE_BYTES: usize = 4096;
/// How many reads begin between two looks at the clock.
const LOOKS: u64 = 64;

/// What is read, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) mode: Mode,
    pub(crate) in_flight: u32,
    pub(crate) seconds: f64,
}

/// Where the pages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The device: `O_DIRECT`.
    Direct,
    /// The page cache.
    Hot,
}

impl Files {
    /// The flags for `open` beside those for reading.
    pub(super) fn custom_flags(&self) -> i32 {
        match self.mode {
            Mode::Direct => OFlags::DIRECT.bits() as i32,
            Mode::Hot => 0,
        }
    }

    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(self.custom_flags()).open(&self.path)
    }

    /// Gets the file into the page cache, where that is the question.
    pub(crate) fn warm_up(&self) -> io::Result<()> {
        if self.mode == Mode::Hot {
            io::copy(&mut File::open(&self.path)?.take(self.bytes), &mut io::sink())?;
        }
        Ok(())
    }
}

/// Makes the file, if there is none of that size: each page begins with its number.
///
/// # Errors
///
/// There is another file; those of writing, a full disk above all. What was written is removed then.
pub(crate) fn make(path: &Path, bytes: u64) -> io::Result<()> {
    if path.metadata().is_ok_and(|metadata| metadata.len() == bytes) {
        return Ok(());
    }
    let made = OpenOptions::new().write(true).create_new(true).open(path).and_then(|file| {
        write(file, bytes).inspect_err(|_| {
            // The error of the writing says more than one of this could.
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

/// Memory for a read, aligned to its size. It lives as long as the process.
pub(super) fn page() -> &'static mut [u8; PAGE_BYTES] {
    #[repr(align(4096))]
    struct Page([u8; PAGE_BYTES]);
    &mut Box::leak(Box::new(Page([0; PAGE_BYTES]))).0
}

/// Random reads for a while, after a warm-up of a tenth of it.
pub(super) struct Reads {
    files: Files,
    begun: AtomicU64,
    enough: AtomicBool,
    watch: Mutex<Watch>,
}

/// What the clock, the process and the count said.
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

    /// The place in the file of the page to be read next; `None` when it is enough.
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

    /// Whether the page is the one that is there in the file.
    pub(super) fn check(&self, offset: u64, page: &[u8]) -> io::Result<()> {
        let number = offset / PAGE_BYTES as u64;
        if page.len() == PAGE_BYTES && page[..8] == number.to_le_bytes() {
            return Ok(());
        }
        Err(io::Error::other(format!("page {number} of the file is something else")))
    }

    /// What came of it, after `next` has said that it is enough.
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
