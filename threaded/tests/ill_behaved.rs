//! An `Io` that panics in the middle of a wait ends the process: the waiter is linked from the frame that would be
//! unwound.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use iolite_io::sync::Mutex;
use iolite_io::{Instant, Io, backend::Decorator};
use iolite_threaded::{Options, Threaded};

/// Set in the child process that is to end.
const CHILD: &str = "IOLITE_TEST_PANICKING_CLOCK";

/// Answers the first calls of the clock and panics at a later one.
struct PanickingClock<'a> {
    io: &'a dyn Io,
    asked: AtomicU32,
}

impl Decorator for PanickingClock<'_> {
    fn inner(&self) -> &dyn Io {
        self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn now(&self) -> Instant {
        assert!(self.asked.fetch_add(1, Ordering::Relaxed) < 2, "the clock is broken");
        self.io.now()
    }
}

#[test]
fn a_clock_that_panics_during_a_wait_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        let threaded = Threaded::new(Options::default()).unwrap();
        let clock = PanickingClock { io: threaded.io(), asked: AtomicU32::new(0) };
        let clock: &dyn Io = &clock;
        let mutex = Mutex::new(());
        let held = mutex.try_lock().unwrap();
        // This would unwind while a waiter is linked to the mutex.
        let deadline = clock.now() + Duration::from_millis(20);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            clock.timeout_at(deadline, |io| mutex.lock(io)).is_ok()
        }));
        drop(held);
        std::process::exit(0);
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_clock_that_panics_during_a_wait_ends_the_process", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    // SIGABRT.
    assert_eq!(child.status.signal(), Some(6), "{}", String::from_utf8_lossy(&child.stderr));
}
