//! The handler of SIGSEGV and SIGBUS, and alternate stacks for it.
//!
//! std's own handler knows only the guards of threads. Ours runs before it, on the thread's alternate stack, and passes
//! on every fault that is not in a guard of ours.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::mem;
use std::process;
use std::ptr;
use std::sync::Once;

use crate::primitive::AtomicPtr;
use crate::published::Published;

thread_local! {
    /// This thread's alternate stack, if it has one that we made.
    static ALTERNATE: RefCell<Option<AlternateStack>> = const { RefCell::new(None) };
}

/// The function that is called with the address of a fault, before the fault is passed on. Async-signal-safe.
static REPORT: Published<fn(usize)> = Published::new(AtomicPtr::new(ptr::null_mut()));

/// The actions that ours has replaced, for SIGSEGV and SIGBUS. They are leaked, and written once before ours is
/// installed.
static PREVIOUS: [Published<libc::sigaction>; 2] = [const { Published::new(AtomicPtr::new(ptr::null_mut())) }; 2];

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// The number of bytes of an alternate stack that signal handlers may use, besides the frame that the kernel puts
/// there.
const HANDLER_BYTES: usize = 4 * 1024;

/// The minimum size of our alternate stacks, in bytes.
const ALTERNATE_BYTES: usize = 64 * 1024;

/// Installs the handler, once per process. It calls `report` with the address of each fault and then passes the fault
/// on; `report` must be async-signal-safe. Gives the calling thread an alternate stack if it has none that is large
/// enough.
pub(crate) fn prepare_thread(report: &'static fn(usize)) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        REPORT.set(report);
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: the pointers lead to plain data that is alive during the calls. The handler calls only
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

/// Returns the maximum number of bytes that the kernel needs for the frame of a signal on this machine.
fn frame_bytes() -> usize {
    // SAFETY: it has no preconditions. Kernels that do not tell (before Linux 5.14) return 0.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    libc::MINSIGSTKSZ.max(told as usize)
}

/// An alternate stack for the signals of a thread, until the thread ends.
struct AlternateStack(Vec<u8>);

impl AlternateStack {
    /// Returns the size of this thread's alternate stack in bytes, or 0 if it has none.
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

    /// Sets this thread's alternate stack, if one is given, and returns the previous one.
    fn set(stack: Option<&libc::stack_t>) -> libc::stack_t {
        // SAFETY: both pointers are null or lead to plain data that is alive during the call. The memory of a stack
        // that is set here belongs to an `AlternateStack`, which removes the stack before the memory is freed. The
        // kernel refuses the call on an alternate stack, so a stack on which a handler runs is never replaced.
        unsafe {
            let mut present: libc::stack_t = mem::zeroed();
            libc::sigaltstack(stack.map_or(ptr::null(), ptr::from_ref), &mut present);
            present
        }
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        // By now std has removed its own stack, and this one with it, unless std did not make the thread.
        if Self::set(None).ss_sp == self.0.as_mut_ptr().cast() {
            let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: libc::SIGSTKSZ };
            Self::set(Some(&none));
        }
    }
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `info` to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some(report) = REPORT.get() {
        report(address);
    }
    hand_on(signal, info, context);
}

/// Writes to stderr. Async-signal-safe.
pub(crate) fn write_stderr(bytes: &[u8]) {
    // SAFETY: the slice is readable. Bytes that cannot be written are lost; the process ends anyway.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

/// Ends the process. Async-signal-safe.
pub(crate) fn abort() -> ! {
    // SAFETY: it has no preconditions.
    unsafe { libc::abort() }
}

fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signal == SIGNALS[1]);
    let Some(previous) = PREVIOUS[index].get() else { process::abort() };
    // SAFETY: it is an action of this signal that the kernel has returned. Its handler is called in the way that its
    // flags ask for, with the arguments that this handler was given.
    unsafe {
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // The faulting instruction runs again, and meets the default action.
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
