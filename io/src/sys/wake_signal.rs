//! The signal that interrupts a system call, and the timer that repeats it. `context/call.rs` says why that is needed.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;
use std::{mem, ptr, thread};

use super::signal_handler::{self, Interrupted};
use crate::time::{Instant, monotonic_now};

/// `SIGURG`: ignored by default, and hardly used by other code (Go's runtime uses it for preemption too).
pub(crate) const WAKE_SIGNAL: i32 = libc::SIGURG;

/// The interval at which the signal is repeated.
const REPEAT: Duration = Duration::from_millis(1);

/// The shortest time for which a timer can be set; zero would stop it.
const SOONEST: Duration = Duration::from_nanos(1);

/// The first interval at which a waker repeats the signal, if the kernel does not.
const REPEAT_FIRST: Duration = Duration::from_micros(10);

/// Installs the handler, once per process; it is never removed. Its only effect is to interrupt system calls.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(ensure_installed);
}

/// Installs the handler if it is missing, or if it was changed so that calls are not interrupted any more.
fn ensure_installed() {
    // Cannot fail for a signal that exists and may have a handler.
    let _ = signal_handler::install(WAKE_SIGNAL, Interrupted::Fails);
}

thread_local! {
    /// The kernel's number of this thread; 0 until it is asked for.
    static NUMBER: Cell<libc::pid_t> = const { Cell::new(0) };
}

/// The thread to signal. Its accesses are ordered by the word of the call.
#[derive(Debug, Default)]
pub(crate) struct ThreadId {
    handle: AtomicUsize,
    number: AtomicI32,
}

impl ThreadId {
    /// Stores the calling thread.
    #[inline]
    pub(crate) fn set(&self) {
        let mut number = NUMBER.get();
        if number == 0 {
            // SAFETY: no preconditions.
            number = unsafe { libc::gettid() };
            NUMBER.set(number);
        }
        // SAFETY: no preconditions.
        self.handle.store(unsafe { libc::pthread_self() } as usize, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
    }

    /// Signals the thread repeatedly from the deadline on. Returns `None` if the kernel refuses.
    pub(crate) fn signal_from(&self, deadline: Instant) -> Option<Signals> {
        ensure_installed();
        let rest = deadline.saturating_duration_since(monotonic_now());
        Signals::begin(self.number.load(Ordering::Relaxed), rest)
    }

    /// Signals the thread repeatedly until the result is dropped. If the kernel does not repeat the signal, returns
    /// `None` once `is_interrupted` returns false. The thread must not end during the call.
    #[cold]
    pub(crate) fn signal(&self, is_interrupted: impl Fn() -> bool) -> Option<Signals> {
        ensure_installed();
        let signals = Signals::begin(self.number.load(Ordering::Relaxed), REPEAT);
        self.signal_once();
        let mut pause = REPEAT_FIRST;
        while signals.is_none() && is_interrupted() {
            thread::sleep(pause);
            pause = (2 * pause).min(REPEAT);
            self.signal_once();
        }
        signals
    }

    fn signal_once(&self) {
        let handle = self.handle.load(Ordering::Relaxed) as libc::pthread_t;
        // SAFETY: the thread that `set` this is interrupted in a call. It does not leave the call, and so does not end,
        // before the lock is free that the caller holds.
        unsafe { libc::pthread_kill(handle, WAKE_SIGNAL) };
    }
}

/// A timer of the kernel that signals a thread until this value drops. If it drops on that thread, no signal is under
/// way afterwards.
#[derive(Debug)]
pub(crate) struct Signals {
    /// A `timer_t`, which is a pointer in name only.
    timer: usize,
}

impl Signals {
    /// Begins to signal the thread, for the first time after `first`. Returns `None` if the kernel refuses.
    fn begin(thread: libc::pid_t, first: Duration) -> Option<Self> {
        // SAFETY: a zeroed event leaves all that is not set here at its default; the kernel checks that the thread is
        // one of this process. All pointers are to locals.
        unsafe {
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = WAKE_SIGNAL;
            event.sigev_notify_thread_id = thread;
            let mut timer: libc::timer_t = ptr::null_mut();
            if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) != 0 {
                return None;
            }
            let signals = Self { timer: timer as usize };
            let times = libc::itimerspec { it_interval: timespec(REPEAT), it_value: timespec(first.max(SOONEST)) };
            let begun = libc::timer_settime(timer, 0, &times, ptr::null_mut()) == 0;
            begun.then_some(signals)
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: `begin` made the timer, and this alone names it.
        unsafe { libc::timer_delete(self.timer as libc::timer_t) };
    }
}

/// Makes the handler run for the signals that were sent to the calling thread.
pub(crate) fn take_pending() {
    // Any system call works, because the kernel handles pending signals before it returns.
    thread::yield_now();
}

/// Converts a time to the kernel's form.
pub(crate) fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Unblocks the signal in the calling thread. Returns true if it was blocked.
pub(crate) fn unblock() -> bool {
    // SAFETY: a zeroed set is initialized by the call below; `change` initializes what it returns.
    unsafe { libc::sigismember(&change(libc::SIG_UNBLOCK), WAKE_SIGNAL) == 1 }
}

/// Blocks the signal in the calling thread.
pub(crate) fn block() {
    change(libc::SIG_BLOCK);
}

/// Blocks or unblocks the signal in the calling thread, and returns the previous mask.
fn change(how: libc::c_int) -> libc::sigset_t {
    // SAFETY: a zeroed set is initialized by `sigemptyset`; all pointers are to locals.
    unsafe {
        let mut wake: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut wake);
        libc::sigaddset(&mut wake, WAKE_SIGNAL);
        let mut before: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(how, &wake, &mut before);
        before
    }
}

/// Keeps the signal unblocked in the calling thread until this value drops.
pub(crate) struct Unblocked {
    was_blocked: bool,
}

impl Unblocked {
    pub(crate) fn new() -> Self {
        Self { was_blocked: unblock() }
    }
}

impl Drop for Unblocked {
    fn drop(&mut self) {
        if self.was_blocked {
            block();
        }
    }
}

/// Changes to the signal that tests of interrupted calls make.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Returns true if the calling thread blocks the signal.
    pub(crate) fn is_blocked() -> bool {
        // SAFETY: a zeroed set is filled in by the call; without a set, nothing is changed.
        unsafe {
            let mut mask: libc::sigset_t = mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
            libc::sigismember(&mask, WAKE_SIGNAL) == 1
        }
    }

    /// Functions that take over the signal, as another library may, and let system calls go on.
    pub(crate) const REPLACEMENTS: [fn(); 3] = [
        || replace(another_handler as extern "C" fn(_) as usize),
        || replace(libc::SIG_IGN),
        || replace(libc::SIG_DFL),
    ];

    extern "C" fn another_handler(_: libc::c_int) {}

    fn replace(handler: usize) {
        install();
        // SAFETY: the handler does nothing; all zeros is an action without flags.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(WAKE_SIGNAL, &action, ptr::null_mut());
        }
    }
}
