//! System calls that block the calling thread until its token arrives. [`call`](super::call) describes how.

use std::cell::Cell;
use std::io;

use rustix::io::Errno;

use super::current::current;
use super::thread::mark_thread_of_pool;
use crate::sys::wake_signal::{self, ThreadId, Unblocked};
use crate::time::Instant;

thread_local! {
    /// True if the wake signal is permanently unblocked in this thread.
    static CLAIMED: Cell<bool> = const { Cell::new(false) };
}

/// Permanently lets the calling thread be interrupted, which saves each blocking call a system call.
///
/// For the worker threads of a backend, on which no other code blocks the signal.
pub fn claim_thread() {
    wake_signal::install();
    wake_signal::unblock();
    mark_thread_of_pool();
    CLAIMED.set(true);
}

/// Makes one system call, which may block, on the calling **thread**. The context's token ends the call and is
/// consumed.
///
/// # Errors
///
/// The errors of `call`. `EINTR` if there was a token or one came, or if another signal came: check for cancellation,
/// and call again. If `call` succeeds, the event for which a token stands is still pending.
///
/// # Panics
///
/// Panics if the calling context is a fiber and not a thread.
#[inline]
pub fn interruptible<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    make(|_| call()).unwrap_or_else(|| Err(interrupted()))
}

/// Makes a call like [`interruptible`], but the deadline ends the call, too. It costs three system calls more, and is
/// meant for calls for which there is no other way to wait.
///
/// Returns `None` without making the call if the kernel refuses a timer.
///
/// # Panics
///
/// Panics if the calling context is a fiber and not a thread.
pub fn interruptible_until<T>(deadline: Instant, call: impl FnOnce() -> io::Result<T>) -> Option<io::Result<T>> {
    let result = make(|thread| {
        // Dropped before the thread leaves.
        let _signals = thread.signal_from(deadline)?;
        Some(call())
    });
    result.unwrap_or_else(|| Some(Err(interrupted())))
}

/// Makes the error with which the kernel reports an interruption.
fn interrupted() -> io::Error {
    Errno::INTR.into()
}

#[inline]
fn make<T>(call: impl FnOnce(&ThreadId) -> T) -> Option<T> {
    let block = current(|context| context.block());
    let Some(parker) = block.thread() else {
        panic!("a system call that blocks its thread was made from a fiber");
    };
    let (owned, signaling) = parker.call();
    if CLAIMED.get() {
        return owned.make(block.state(), signaling, call);
    }
    wake_signal::install();
    let _unblocked = Unblocked::new();
    owned.make(block.state(), signaling, call)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;
    use std::{fs, thread};

    use super::*;
    use crate::context::{Unparker, park};
    use crate::primitive::Lock;
    use crate::sys::wake_signal::testing::is_blocked;
    use crate::time::monotonic_now;

    static ONE_TEST: Lock<()> = Lock::new(());

    /// Reads from a pipe to which nothing is written, and returns the error.
    fn read_nothing() -> io::ErrorKind {
        let (mut reader, _writer) = io::pipe().unwrap();
        interruptible(|| reader.read(&mut [0])).unwrap_err().kind()
    }

    /// Runs `call` on a thread of its own, and unparks that thread once it sleeps.
    fn interrupted<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        interrupted_when(|| {}, call)
    }

    /// Does the same as `interrupted`, after `prepare`, which changes the process; so only one test runs at a time.
    fn interrupted_when<T: Send + 'static>(prepare: impl FnOnce(), call: impl FnOnce() -> T + Send + 'static) -> T {
        let _one_test = ONE_TEST.lock();
        prepare();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let stat = fs::read_link("/proc/thread-self").unwrap().join("stat");
            tell.send((current(|context| context.unparker()), stat)).unwrap();
            call()
        });
        let (unparker, stat): (Unparker, _) = told.recv().unwrap();
        let state = || fs::read_to_string(std::path::Path::new("/proc").join(&stat)).unwrap();
        while !state().rsplit_once(')').unwrap().1.starts_with(" S") {
            thread::yield_now();
        }
        unparker.unpark();
        thread.join().unwrap()
    }

    #[test]
    fn a_token_that_is_there_is_consumed_and_the_call_is_not_made() {
        current(|context| context.unparker()).unpark();
        let result = interruptible(|| -> io::Result<()> { panic!("called") });
        assert_eq!(result.unwrap_err().raw_os_error(), Some(Errno::INTR.raw_os_error()));
        assert_eq!(interruptible(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_token_interrupts_the_call_and_is_consumed() {
        let again = interrupted(|| {
            assert_eq!(read_nothing(), io::ErrorKind::Interrupted);
            park(Some(monotonic_now()));
            interruptible(|| Ok(1)).unwrap()
        });
        assert_eq!(again, 1);
    }

    #[test]
    fn a_thread_that_blocks_the_signal_is_interrupted_and_blocks_it_afterwards() {
        let blocks = interrupted(|| {
            wake_signal::block();
            assert_eq!(read_nothing(), io::ErrorKind::Interrupted);
            is_blocked()
        });
        assert!(blocks);
    }

    #[test]
    fn a_thread_that_was_claimed_does_not_block_it() {
        let blocks = interrupted(|| {
            wake_signal::block();
            claim_thread();
            assert_eq!(read_nothing(), io::ErrorKind::Interrupted);
            is_blocked()
        });
        assert!(!blocks);
    }

    #[test]
    fn a_panic_out_of_the_call_leaves_it() {
        let result = thread::spawn(|| interruptible(|| -> io::Result<()> { panic!("out of the call") })).join();
        result.unwrap_err();
        assert_eq!(interrupted(read_nothing), io::ErrorKind::Interrupted);
    }

    /// A library that takes over the signal, and lets system calls go on.
    #[test]
    fn a_handler_that_was_replaced_does_not_stand_in_the_way() {
        for replace in wake_signal::testing::REPLACEMENTS {
            assert_eq!(interrupted_when(replace, read_nothing), io::ErrorKind::Interrupted);
        }
    }

    #[test]
    fn a_deadline_ends_the_call() {
        let _one_test = ONE_TEST.lock();
        let (mut reader, mut writer) = io::pipe().unwrap();
        for after in [Duration::ZERO, Duration::from_millis(2)] {
            let result = interruptible_until(monotonic_now() + after, || reader.read(&mut [0]));
            assert_eq!(result.unwrap().unwrap_err().kind(), io::ErrorKind::Interrupted);
        }
        writer.write_all(b"x").unwrap();
        let late = monotonic_now() + Duration::from_secs(3600);
        assert_eq!(interruptible_until(late, || reader.read(&mut [0])).unwrap().unwrap(), 1);
    }
}
