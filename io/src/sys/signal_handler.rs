//! The one signal handler of this library, and its watchers.
//!
//! A handler may interrupt any code, so it takes no lock and frees nothing. It reads the list of a signal's watchers,
//! which is replaced as a whole. The thread that replaces it waits until no handler runs that may have read the old
//! list, and frees that; see [`Readers`].
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::{mem, ptr, thread};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, retry_on_intr};

use super::readers::Readers;
use crate::descriptor::Descriptor;
use crate::primitive::Lock;

/// The highest number of a signal.
pub(crate) const SIGNAL_MAX: i32 = 64;

/// The object through which the handler reports signals to a watcher.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// Bit `n - 1` is set when signal `n` has arrived. Set before the bell rings; checked after the bell was heard,
    /// before each wait for it.
    arrived: AtomicU64,
    /// A non-blocking eventfd.
    bell: Descriptor,
}

/// The state of a signal, at the index of its number less one.
struct Slot {
    /// Null if there are none. Replaced under the lock of `INSTALLED`.
    watchers: AtomicPtr<Vec<Arc<Watcher>>>,
    /// The handler that was installed before ours, or 0. Written before ours is installed.
    previous: AtomicUsize,
}

static SLOTS: [Slot; SIGNAL_MAX as usize] =
    [const { Slot { watchers: AtomicPtr::new(ptr::null_mut()), previous: AtomicUsize::new(0) } }; SIGNAL_MAX as usize];

/// Counts the running handlers that may have read a list.
static RUNNING: Readers = Readers::new(AtomicUsize::new(0));

/// The actions that our handler has replaced, where it is installed.
static INSTALLED: Lock<Installed> = Lock::new([None; SIGNAL_MAX as usize]);

type Installed = [Option<libc::sigaction>; SIGNAL_MAX as usize];

/// Says what happens to a system call that the handler interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// It goes on, if the kernel supports that.
    GoesOn,
    /// It fails with `EINTR`.
    Fails,
}

impl Watcher {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { arrived: AtomicU64::new(0), bell: bell.into() })
    }

    /// Returns the descriptor that becomes readable when signals have arrived since it was last heard. It may ring
    /// late.
    pub(crate) fn bell(&self) -> &Descriptor {
        &self.bell
    }

    /// Silences the bell.
    pub(crate) fn hear(&self) {
        // If it does not ring, there is nothing to read.
        let _ = retry_on_intr(|| read(&self.bell, &mut [0; 8]));
    }

    /// Returns true if a signal has arrived.
    pub(crate) fn has_arrived(&self) -> bool {
        // Relaxed: nothing but the bit itself is published, and the bell comes after it.
        self.arrived.load(Ordering::Relaxed) != 0
    }

    /// Takes the arrived signal with the lowest number and silences the bell, which then rings for later signals.
    pub(crate) fn take(&self) -> Option<i32> {
        // Relaxed: as above.
        let lowest = self.arrived.load(Ordering::Relaxed).trailing_zeros();
        if lowest == u64::BITS {
            return None;
        }
        self.arrived.fetch_and(!(1 << lowest), Ordering::Relaxed);
        self.hear();
        Some(lowest as i32 + 1)
    }

    /// Reports a signal. Async-signal-safe: an atomic and a `write`.
    pub(crate) fn tell(&self, signal: i32) {
        self.arrived.fetch_or(1 << (signal - 1), Ordering::Relaxed);
        self.ring();
    }

    /// Rings the bell. Fails only if nobody has heard it for 2^64 signals.
    pub(crate) fn ring(&self) {
        let one = 1_u64;
        // SAFETY: it reads eight bytes, those of `one`, which lives until it returns. `self` owns the descriptor, so the
        // number is that of its eventfd.
        unsafe { libc::write(self.bell.as_raw_fd(), ptr::from_ref(&one).cast(), size_of::<u64>()) };
    }
}

/// Makes the handler report a signal, whose number has to be valid, to `watcher`.
pub(crate) fn watch(signal: i32, watcher: &Arc<Watcher>) -> io::Result<()> {
    let mut installed = INSTALLED.lock();
    install_locked(&mut installed, signal, Interrupted::GoesOn)?;
    replace_watchers(signal, |watchers| watchers.push(watcher.clone()));
    Ok(())
}

/// Stops reporting a signal to `watcher`. If it was the last watcher, the previous action is restored.
pub(crate) fn forget(signal: i32, watcher: &Arc<Watcher>) {
    let mut installed = INSTALLED.lock();
    let left = replace_watchers(signal, |watchers| watchers.retain(|other| !Arc::ptr_eq(other, watcher)));
    let previous = &mut installed[index(signal)];
    if left == 0
        && let Some(action) = previous
        && restore(signal, action)
    {
        *previous = None;
    }
}

/// Installs the handler for a signal if it is not installed. It calls the handler that was there before.
pub(crate) fn install(signal: i32, interrupted: Interrupted) -> io::Result<()> {
    install_locked(&mut INSTALLED.lock(), signal, interrupted)
}

fn install_locked(installed: &mut Installed, signal: i32, interrupted: Interrupted) -> io::Result<()> {
    let previous = &mut installed[index(signal)];
    let there = set_action(signal, None)?;
    if previous.is_some() && is_function(&there) {
        // Our handler, or one that was installed over ours and has to call it.
        if interrupted == Interrupted::Fails && there.sa_flags & libc::SA_RESTART != 0 {
            let fails = libc::sigaction { sa_flags: there.sa_flags & !libc::SA_RESTART, ..there };
            set_action(signal, Some(&fails))?;
        }
        return Ok(());
    }
    let handler = if is_function(&there) { there.sa_sigaction } else { 0 };
    SLOTS[index(signal)].previous.store(handler, Ordering::Relaxed);
    // SAFETY: a C structure of numbers, of a set of bits, and of a function pointer that is an `Option`: all zeros are a
    // value of each.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(_, _, _) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // No other signal interrupts the handler: several that come at once would pile up their frames on the thread's
    // alternate stack, where std leaves room for one or two.
    // SAFETY: it writes the set that it is given a reference to, and no more.
    unsafe { libc::sigfillset(&mut action.sa_mask) };
    if interrupted == Interrupted::GoesOn {
        action.sa_flags |= libc::SA_RESTART;
    }
    *previous = Some(set_action(signal, Some(&action))?);
    Ok(())
}

/// Restores the previous action. Returns false if another handler was installed over ours in the meantime, which may
/// call ours.
fn restore(signal: i32, previous: &libc::sigaction) -> bool {
    match set_action(signal, Some(previous)) {
        Ok(replaced) if replaced.sa_sigaction != on_signal as extern "C" fn(_, _, _) as usize => {
            // Restores the handler that was there a moment ago.
            let _ = set_action(signal, Some(&replaced));
            false
        }
        _ => true,
    }
}

/// Sets the action of a signal, if one is given, and returns the previous one.
fn set_action(signal: i32, action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: all zeros are a value of the C structure, see above. `sigaction` reads `action`, which is null or a
    // reference, and writes `replaced`; both outlive the call. The installed action may run at any time on any thread:
    // it is `on_signal`, which does nothing that is not async-signal-safe, or an action that `sigaction` reported,
    // which other code has installed on these terms.
    unsafe {
        let mut replaced: libc::sigaction = mem::zeroed();
        match libc::sigaction(signal, action.map_or(ptr::null(), ptr::from_ref), &mut replaced) {
            0 => Ok(replaced),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn is_function(action: &libc::sigaction) -> bool {
    action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN
}

fn index(signal: i32) -> usize {
    (signal - 1) as usize
}

/// Replaces the list of a signal's watchers by a changed one, and returns the number of watchers in it. Called under
/// the lock.
fn replace_watchers(signal: i32, change: impl FnOnce(&mut Vec<Arc<Watcher>>)) -> usize {
    let slot = &SLOTS[index(signal)];
    // SAFETY: null, or a list that an earlier call made of a box. It frees that only after it has put another one in
    // its place, and the lock of `INSTALLED`, which the caller holds, keeps two calls apart. Handlers only read it.
    let mut watchers = unsafe { slot.watchers.load(Ordering::Relaxed).as_ref() }.cloned().unwrap_or_default();
    change(&mut watchers);
    let count = watchers.len();
    let list = if count == 0 { ptr::null_mut() } else { Box::into_raw(Box::new(watchers)) };
    let old = RUNNING.replace(&slot.watchers, list, thread::yield_now);
    if !old.is_null() {
        // SAFETY: an earlier call made it by `Box::into_raw`. It is out of the slot, so no other call frees it, and
        // `Readers::replace` has waited until no handler runs that may have read it.
        drop(unsafe { Box::from_raw(old) });
    }
    count
}

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let slot = &SLOTS[index(signal)];
    // SAFETY: a pointer to this thread's own errno, which lives as long as the thread and is read by nobody else. The
    // value is put back below for the code that is interrupted.
    let errno = unsafe { *libc::__errno_location() };
    RUNNING.read(&slot.watchers, |watchers| {
        // SAFETY: null, or a list that `replace_watchers` made of a box. It frees that after `Readers::replace`, which
        // waits until this closure has returned.
        if let Some(watchers) = unsafe { watchers.as_ref() } {
            watchers.iter().for_each(|watcher| watcher.tell(signal));
        }
    });
    // SAFETY: this thread's own errno, which lives as long as the thread; `errno` is what stood in it.
    unsafe { *libc::__errno_location() = errno };
    // Last, because the previous handler may never return.
    let previous = slot.previous.load(Ordering::Relaxed);
    if previous != 0 {
        // SAFETY: it was the handler of this signal when `install_locked` replaced it, and neither the default nor
        // `SIG_IGN`, so it is a function that the kernel would have called with these three arguments. One that was
        // installed without `SA_SIGINFO` takes the first alone, and in the C calling convention does not see the others.
        let previous: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { mem::transmute(previous) };
        previous(signal, info, context);
    }
}
