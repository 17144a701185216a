//! System calls that block the calling thread until they are done, or until its token arrives.
//!
//! A thread that receives from a socket makes one system call, `recv`, which blocks. What has to end it is a token:
//! that of a request, of a group that has failed, of anybody else who unparks the thread. So a waker interrupts the
//! call by a signal, which makes it fail with `EINTR`; the thread then looks why it was woken, and calls again if that
//! was none of its business.
//!
//! # The protocol
//!
//! The **owner** is the thread that calls; each thread has one [`CallWord`], one lock and one park token.
//!
//! | the owner | |
//! |---|---|
//! | 1 | says which thread it is, and `enter`s |
//! | 2 | begins to park; a token that is there already is consumed, and the call not made |
//! | 3 | makes the call |
//! | 4 | `leave`s; where a waker has interrupted it, it takes the lock and ends the signals |
//! | 5 | ends to park, which consumes the token |
//!
//! | a waker | |
//! |---|---|
//! | 1 | leaves the token; it goes on only when the owner had begun to park, and it is the first since then |
//! | 2 | takes the lock |
//! | 3 | `interrupt`s; where the owner makes no call, it wakes it from its condition variable, and is done |
//! | 4 | begins the signals, and gives the lock back |
//!
//! **Signals** are a timer of the kernel, which sends one to the owner each millisecond until it is deleted, and one
//! more that is sent at once. A single one would not do: where it arrives after step 2 of the owner, before its system
//! call has begun, the handler returns and the call blocks. No instruction lies between the two where the signal could
//! be unblocked at the same time (`ppoll` does that, and is one call more), so it is repeated until the owner has
//! acknowledged it, by leaving. The kernel repeats, so that a waker, which may be an executor, waits for nobody. Where
//! it refuses a timer (`RLIMIT_SIGPENDING` is reached, or a sandbox forbids it), the waker itself repeats, with pauses
//! that grow from 10 microseconds to a millisecond, until the owner has left.
//!
//! # Why nothing is lost, and nothing too much
//!
//! - *A token is never slept over.* The owner entered before it began to park. A waker that leaves a token either comes
//!   before the latter, and the call is not made, or it sees that the owner parks, and so that it has entered. In
//!   that case it finds the owner inside and signals until that has left, or the owner has left already.
//! - *Completion wins.* Nothing undoes a call: when it succeeded, its result is returned, whatever signals came. The
//!   kernel decides, and a call that it fails with `EINTR` has done nothing.
//! - *No signal comes outside of the call.* A waker signals under the lock and only while the word says that it
//!   interrupted. The owner that leaves such a call takes the lock: the waker has signaled. Then it deletes the timer,
//!   after which that sends nothing, and every signal that was sent is pending. Linux handles the pending signals of a
//!   thread before a system call, here that of the deletion, returns. So other code on the thread, C code above all,
//!   never sees an `EINTR` for which we are the reason, and no signal needs to be blocked.
//! - *A thread that ends is not signaled.* It has left, and so no waker signals.
//! - *A waker that comes late*, after the owner has gone on, finds it outside or in another call, or the block with
//!   another thread. That one's call then fails with `EINTR` once for nothing, and is made again.
//!
//! What the kernel does not interrupt, a read from a disk for instance, ends when it ends.
//!
//! # The mask
//!
//! The signal must not be blocked in the owner during the call. Threads of a backend unblock it once and for all
//! ([`claim_thread`]); other threads for each call, and they block it again where it was blocked.
//!
//! The models of `tests/loom_call.rs` hold all of these but that the kernel does as Linux says.

use std::cell::Cell;
use std::io;

use super::block::WakeBlock;
use super::call_word::CallWord;
use super::signal::{self, Signals, ThreadId, Unblocked};
use super::{current, mark_thread_of_pool};
use crate::primitive::Lock;
use crate::time::Instant;

thread_local! {
    /// The wake signal is unblocked for good in this thread.
    static CLAIMED: Cell<bool> = const { Cell::new(false) };
}

/// The lock that a waker signals under, and the signals that go on after it.
pub(super) type Signaling = Lock<Option<Signals>>;

/// The call that a thread makes, for its wakers.
#[derive(Debug, Default)]
pub(super) struct Call {
    word: CallWord,
    /// The owner, while it is inside.
    thread: ThreadId,
}

impl Call {
    /// Interrupts the call; `false` when there is none. `signaling` is what the lock guards.
    pub(super) fn interrupt(&self, signaling: &mut Option<Signals>) -> bool {
        let interrupts = self.word.interrupt();
        if interrupts {
            *signaling = self.thread.signal(|| self.word.is_interrupted());
        }
        interrupts
    }

    /// Makes a call as the owner, which `block` wakes; `None` when a token was there, and it was not made.
    #[inline]
    fn make<T>(&self, block: &WakeBlock, signaling: &Signaling, call: impl FnOnce(&ThreadId) -> T) -> Option<T> {
        self.thread.set();
        self.word.enter();
        let _inside = Inside { call: self, block, signaling };
        block.begin_park().then(|| call(&self.thread))
    }
}

/// The owner is inside until this drops.
struct Inside<'a> {
    call: &'a Call,
    block: &'a WakeBlock,
    signaling: &'a Signaling,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.call.word.leave() {
            self.end_signals();
        }
        self.block.end_park();
    }
}

impl Inside<'_> {
    #[cold]
    fn end_signals(&self) {
        let signals = self.signaling.lock().take();
        // As far as the waker has left none, there may be its last one.
        if signals.is_none() {
            signal::take_pending();
        }
    }
}

/// Lets the calling thread be interrupted for good, which spares each call that blocks a system call.
///
/// For the worker threads of a backend, on which nobody else blocks the signal.
pub fn claim_thread() {
    signal::install();
    signal::unblock();
    mark_thread_of_pool();
    CLAIMED.set(true);
}

/// Makes one system call, which may block, on the calling **thread**. The context's token ends it, and is consumed.
///
/// # Errors
///
/// Those of `call`. `EINTR` when a token was there or came, or a signal of somebody else: ask for
/// cancellation, and call again. When `call` succeeds, what a token stands for is pending still.
///
/// # Panics
///
/// When the calling context is no thread but a fiber.
#[inline]
pub fn interruptible<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    make(|_| call()).unwrap_or_else(|| Err(interrupted()))
}

/// As [`interruptible`], but the deadline ends the call, too. It costs three system calls more: it is for calls that
/// nothing else can wait for.
///
/// `None`, and nothing is done, when the kernel refuses a timer.
///
/// # Panics
///
/// As there.
pub fn interruptible_until<T>(deadline: Instant, call: impl FnOnce() -> io::Result<T>) -> Option<io::Result<T>> {
    let result = make(|thread| {
        // Dropped before the thread leaves.
        let _signals = thread.signal_from(deadline)?;
        Some(call())
    });
    result.unwrap_or_else(|| Some(Err(interrupted())))
}

/// As the kernel says it.
fn interrupted() -> io::Error {
    io::Error::from_raw_os_error(libc::EINTR)
}

#[inline]
fn make<T>(call: impl FnOnce(&ThreadId) -> T) -> Option<T> {
    let block = current(|context| context.block());
    let Some(parker) = block.thread() else {
        panic!("a system call that blocks its thread was made from a fiber");
    };
    let (owned, signaling) = parker.call();
    if CLAIMED.get() {
        return owned.make(block, signaling, call);
    }
    signal::install();
    let _unblocked = Unblocked::new();
    owned.make(block, signaling, call)
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code)]

    use std::io::{Read, Write};
    use std::time::Duration;
    use std::{fs, mem, ptr, thread};

    use super::*;
    use crate::context::{Unparker, park};
    use crate::time::monotonic_now;

    static ONE_TEST: Lock<()> = Lock::new(());

    /// Reads from a pipe to which nothing is written; what came of that.
    fn read_nothing() -> io::ErrorKind {
        let (mut reader, _writer) = io::pipe().unwrap();
        interruptible(|| reader.read(&mut [0])).unwrap_err().kind()
    }

    /// Runs `call` on a thread of its own, and unparks that once it sleeps.
    fn interrupted<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        interrupted_when(|| {}, call)
    }

    /// As `interrupted`, after `prepare`, which changes the process: one test at a time.
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

    fn is_blocked() -> bool {
        // SAFETY: a zeroed set is filled in by the call; without a set, nothing is changed.
        unsafe {
            let mut mask: libc::sigset_t = mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
            libc::sigismember(&mask, signal::WAKE_SIGNAL) == 1
        }
    }

    #[test]
    fn a_token_that_is_there_is_consumed_and_the_call_is_not_made() {
        current(|context| context.unparker()).unpark();
        let result = interruptible(|| -> io::Result<()> { panic!("called") });
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINTR));
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
            signal::block();
            assert_eq!(read_nothing(), io::ErrorKind::Interrupted);
            is_blocked()
        });
        assert!(blocks);
    }

    #[test]
    fn a_thread_that_was_claimed_does_not_block_it() {
        let blocks = interrupted(|| {
            signal::block();
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

    extern "C" fn another_handler(_: libc::c_int) {}

    /// A library that takes the signal over, and lets system calls go on.
    #[test]
    fn a_handler_that_was_replaced_does_not_stand_in_the_way() {
        for handler in [another_handler as extern "C" fn(_) as usize, libc::SIG_IGN, libc::SIG_DFL] {
            let replace = || {
                signal::install();
                // SAFETY: the handler does nothing; all zeros is an action without flags.
                unsafe {
                    let mut action: libc::sigaction = mem::zeroed();
                    action.sa_sigaction = handler;
                    action.sa_flags = libc::SA_RESTART;
                    libc::sigaction(signal::WAKE_SIGNAL, &action, ptr::null_mut());
                }
            };
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
