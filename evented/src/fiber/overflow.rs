//! Names a fiber that overflows its stack, instead of a bare SIGSEGV.
//!
//! std's own handler knows the guards of threads only. Ours runs before it, on the thread's
//! alternate stack, and hands every other fault on.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::mem;
use std::process;
use std::ptr::{self, NonNull};
use std::sync::Once;

use super::published::Published;
use super::stack;
use crate::primitive::AtomicPtr;

thread_local! {
    /// Where the fiber that runs on this thread has the name of its task; null between fibers. Its executor sets this, off
    /// the fiber. The fiber puts a name there only for as long as that is valid.
    pub(super) static RUNNING_NAME: Cell<*const Cell<Option<NonNull<str>>>> = const { Cell::new(ptr::null()) };

    /// This thread's alternate stack, if it has one of ours.
    static ALTERNATE: RefCell<Option<AlternateStack>> = const { RefCell::new(None) };
}

/// The actions that ours replaced, for SIGSEGV and SIGBUS; leaked, written once before ours is
/// installed.
static PREVIOUS: [Published<libc::sigaction>; 2] = [const { Published::new(AtomicPtr::new(ptr::null_mut())) }; 2];

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Bytes that handlers of signals may use of an alternate stack, beside the frame that the kernel puts there.
const HANDLER_BYTES: usize = 4 * 1024;

/// Bytes of an alternate stack of ours, at least.
const ALTERNATE_BYTES: usize = 64 * 1024;

/// Installs the handler, once per process, and gives the calling thread an alternate stack if it has none that is
/// large enough (std's threads have one, which is, except where the registers that the kernel saves are many).
pub(crate) fn prepare_thread() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: the pointers lead to plain data that is alive during the calls; the handler only calls
            // async-signal-safe functions, and finds the action that it replaces, which is never freed.
            unsafe {
                let old = Box::leak(Box::new(mem::zeroed::<libc::sigaction>()));
                libc::sigaction(signal, ptr::null(), old);
                previous.set(old);
                let mut action: libc::sigaction = mem::zeroed();
                action.sa_sigaction = on_fault as extern "C" fn(_, _, _) as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                // Other handlers, which may run on the same alternate stack, wait until this one has returned.
                libc::sigfillset(&mut action.sa_mask);
                libc::sigaction(signal, &action, ptr::null_mut());
            }
        }
    });
    ALTERNATE.with_borrow_mut(|ours| {
        if ours.is_none() && AlternateStack::bytes_present() < frame_bytes() + HANDLER_BYTES {
            *ours = Some(AlternateStack::install());
        }
    });
}

/// How many bytes the kernel needs at most for the frame of a signal on this machine.
fn frame_bytes() -> usize {
    // SAFETY: no preconditions. Kernels that do not tell (before Linux 5.14) return 0.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    libc::MINSIGSTKSZ.max(told as usize)
}

/// An alternate stack for the signals of a thread, until that ends.
struct AlternateStack(Vec<u8>);

impl AlternateStack {
    /// The bytes of the one that this thread has, or 0.
    fn bytes_present() -> usize {
        let present = Self::set(None);
        if present.ss_flags & libc::SS_DISABLE != 0 { 0 } else { present.ss_size }
    }

    fn install() -> Self {
        let mut memory = vec![0_u8; ALTERNATE_BYTES.max(frame_bytes() + HANDLER_BYTES)];
        let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
        Self::set(Some(&stack));
        Self(memory)
    }

    /// Sets this thread's alternate stack, if one is given, and returns the one that was there.
    fn set(stack: Option<&libc::stack_t>) -> libc::stack_t {
        // SAFETY: both pointers are null or lead to plain data that is alive during the call. The memory of a stack
        // that is set here belongs to an `AlternateStack`, which takes it back before it is freed. The call is refused
        // on an alternate stack, so none is replaced on which a handler runs.
        unsafe {
            let mut present: libc::stack_t = mem::zeroed();
            libc::sigaltstack(stack.map_or(ptr::null(), ptr::from_ref), &mut present);
            present
        }
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        // std has taken down its own by now, and this one with it, unless the thread is none of std's.
        if Self::set(None).ss_sp == self.0.as_mut_ptr().cast() {
            let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: libc::SIGSTKSZ };
            Self::set(Some(&none));
        }
    }
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `info` to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    match stack::stack_of_guard(address) {
        Some(bytes) => report(bytes),
        None => hand_on(signal, info, context),
    }
}

/// Writes one line and ends the process. Async-signal-safe: no allocation, no lock.
fn report(stack_bytes: usize) -> ! {
    let mut digits = [0_u8; 20];
    write_stderr(b"iolite: the fiber of task `");
    // SAFETY: the fiber overflowed, so it runs, and is there, as is the name that it put in its cell.
    let name = unsafe { RUNNING_NAME.get().as_ref().and_then(Cell::get).map(|name| name.as_ref()) };
    write_stderr(name.unwrap_or("?").as_bytes());
    write_stderr(b"` overflowed its stack of ");
    write_stderr(decimal(stack_bytes / 1024, &mut digits));
    write_stderr(b" KiB: raise stack_size, or move large frames to the heap or to the bridge; aborting\n");
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
}

fn decimal(mut value: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[first..];
        }
    }
}

fn write_stderr(bytes: &[u8]) {
    // SAFETY: the slice is readable. What cannot be written is lost; the process ends anyway.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signal == SIGNALS[1]);
    let Some(previous) = PREVIOUS[index].get() else { process::abort() };
    // SAFETY: an action of this signal, which the kernel has told us: its handler is called as its flags say that it
    // wants to be, with what we were given.
    unsafe {
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // The faulting instruction runs again, and meets the default.
                libc::sigaction(signal, previous, ptr::null_mut());
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
