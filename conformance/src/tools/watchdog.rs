//! Names a test that hangs.

use std::cell::RefCell;
use std::io::Write;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::record;

/// No case needs more than a fraction of this time.
const LIMIT: Duration = Duration::from_secs(60);

enum Said {
    Progress,
    Over,
}

thread_local! {
    /// The channel for the beats of the watchdog that this thread has made.
    static HERE: RefCell<Option<mpsc::Sender<Said>>> = const { RefCell::new(None) };
}

/// A plain thread that waits beside the test while this value lives. After 60 s without a [`beat`](Self::beat) it
/// prints the name of the test and the notes since its beginning, and ends the process.
#[derive(Debug)]
pub struct Watchdog {
    beats: mpsc::Sender<Said>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches the test that runs on the calling thread, which has the test's name.
    ///
    /// # Panics
    ///
    /// If no thread can be started.
    pub fn start() -> Self {
        let name = thread::current().name().unwrap_or("a test without a name").to_owned();
        let before = record::length();
        let (beats, watched) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                loop {
                    match watched.recv_timeout(LIMIT) {
                        Ok(Said::Progress) => {}
                        Ok(Said::Over) | Err(RecvTimeoutError::Disconnected) => return,
                        Err(RecvTimeoutError::Timeout) => break,
                    }
                }
                // This does not use `eprintln`, whose output would be captured with that of a test that never ends.
                let said = record::since(before);
                let _ = writeln!(std::io::stderr(), "\nHANG: `{name}` made no progress for {LIMIT:?}\n{said}");
                process::abort();
            })
            .expect("a thread for the watchdog");
        HERE.set(Some(beats.clone()));
        Self { beats, thread: Some(thread) }
    }

    /// Notes that the test makes progress.
    pub fn beat(&self) {
        let _ = self.beats.send(Said::Progress);
    }

    /// Notes that the test of the calling thread makes progress, if it is watched.
    pub fn beat_here() {
        HERE.with_borrow(|beats| {
            if let Some(beats) = beats {
                let _ = beats.send(Said::Progress);
            }
        });
    }
}

impl Drop for Watchdog {
    /// Waits for the thread, so that nothing of this test runs beside the next one.
    fn drop(&mut self) {
        HERE.take();
        let _ = self.beats.send(Said::Over);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
