//! Waiting for signals to the process.
//!
//! ```no_run
//! use iolite_io::{Io, signal::{Signal, Signals}};
//!
//! fn until_stopped(io: &dyn Io) -> std::io::Result<Signal> {
//!     let mut stop = Signals::new([Signal::INTERRUPT, Signal::TERMINATE])?;
//!     stop.next(io) // other tasks run in the meantime
//! }
//! ```
//!
//! Signals belong to the process: they reach everyone who watches them, in whatever runtime, and [`Signals`] are made
//! without an `Io`. While a signal is watched, its default action (to end the process, for instance) does not happen. A
//! handler that was installed before is called too, and is called alone again when the last watcher is gone.
//!
//! Watching a signal does not interrupt or cancel anything.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::Io;
use crate::fd_watcher;
use crate::operation::{Interest, Operation};
use crate::select::{FdEvent, OnFd, Selectable};
use crate::sys::signal_handler::{self, Watcher};
use crate::sys::signals;
use crate::sys::wake_signal::WAKE_SIGNAL;

/// The number of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// `SIGHUP`: the terminal is gone; asks daemons to read their configuration again.
    pub const HANGUP: Self = Self(signals::SIGHUP);
    /// `SIGINT`: Ctrl-C.
    pub const INTERRUPT: Self = Self(signals::SIGINT);
    /// `SIGQUIT`: Ctrl-\.
    pub const QUIT: Self = Self(signals::SIGQUIT);
    /// `SIGKILL`: ends the process. Cannot be watched.
    pub const KILL: Self = Self(signals::SIGKILL);
    /// `SIGUSR1`.
    pub const USER1: Self = Self(signals::SIGUSR1);
    /// `SIGUSR2`.
    pub const USER2: Self = Self(signals::SIGUSR2);
    /// `SIGPIPE`: the reader of written bytes is gone.
    pub const PIPE: Self = Self(signals::SIGPIPE);
    /// `SIGALRM`.
    pub const ALARM: Self = Self(signals::SIGALRM);
    /// `SIGTERM`: asks the process to end.
    pub const TERMINATE: Self = Self(signals::SIGTERM);
    /// `SIGCHLD`: a child has ended or was stopped.
    pub const CHILD: Self = Self(signals::SIGCHLD);
    /// `SIGCONT`: continues a stopped process.
    pub const CONTINUE: Self = Self(signals::SIGCONT);
    /// `SIGWINCH`: the size of the terminal has changed.
    pub const WINDOW_CHANGE: Self = Self(signals::SIGWINCH);

    /// Makes a signal from its number.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Returns the number of the signal.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    pub(crate) fn to_rustix(self) -> io::Result<rustix::process::Signal> {
        let signal = rustix::process::Signal::from_named_raw(self.0);
        signal.ok_or_else(|| invalid(format!("{self} cannot be sent")))
    }

    /// Returns an error for a signal that cannot be watched.
    fn check(self) -> io::Result<()> {
        match self.0 {
            WAKE_SIGNAL => Err(invalid(format!("{self} is reserved: iolite interrupts its threads with it"))),
            signals::SIGSEGV | signals::SIGBUS | signals::SIGFPE | signals::SIGILL => {
                Err(invalid(format!("{self} reports a fault of the running thread and cannot be watched")))
            }
            signals::SIGKILL | signals::SIGSTOP => Err(invalid(format!("{self} cannot be watched"))),
            1..=signal_handler::SIGNAL_MAX => Ok(()),
            _ => Err(invalid(format!("{self}: unknown signal"))),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::HANGUP => f.write_str("SIGHUP"),
            Self::INTERRUPT => f.write_str("SIGINT"),
            Self::QUIT => f.write_str("SIGQUIT"),
            Self::KILL => f.write_str("SIGKILL"),
            Self::USER1 => f.write_str("SIGUSR1"),
            Self::USER2 => f.write_str("SIGUSR2"),
            Self::PIPE => f.write_str("SIGPIPE"),
            Self::ALARM => f.write_str("SIGALRM"),
            Self::TERMINATE => f.write_str("SIGTERM"),
            Self::CHILD => f.write_str("SIGCHLD"),
            Self::CONTINUE => f.write_str("SIGCONT"),
            Self::WINDOW_CHANGE => f.write_str("SIGWINCH"),
            Self(number) => write!(f, "signal {number}"),
        }
    }
}

/// Watches signals from its creation until it is dropped. Has a descriptor of its own.
///
/// A signal that arrives several times before it is taken counts once, as in the kernel.
#[derive(Debug)]
pub struct Signals {
    signals: Vec<Signal>,
    watcher: Arc<Watcher>,
}

impl Signals {
    /// Starts to watch `signals`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for signals that cannot be watched: those that report faults, `SIGKILL`,
    /// `SIGSTOP`, and `SIGURG`, with which this library interrupts its threads; an error if no descriptors are left.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        fd_watcher::prepare()?;
        let mut watching = Self { signals: Vec::new(), watcher: Arc::new(Watcher::new()?) };
        for signal in signals {
            signal.check()?;
            if !watching.signals.contains(&signal) {
                signal_handler::watch(signal.0, &watching.watcher)?;
                watching.signals.push(signal);
            }
        }
        Ok(watching)
    }

    /// Waits for the next signal. If several have arrived, returns the one with the lowest number.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a canceled call has taken no signal.
    ///
    /// # Errors
    ///
    /// [`Canceled`](crate::Canceled), and errors of an `Io` that has ended.
    pub fn next(&mut self, io: &dyn Io) -> io::Result<Signal> {
        io.check_cancel()?;
        self.wait(io)
    }

    /// A cancellation point, unless a signal has arrived.
    fn wait(&mut self, io: &dyn Io) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.try_next() {
                return Ok(signal);
            }
            let rings = Operation::Ready { descriptor: self.watcher.bell(), interest: Interest::Readable };
            io.operate(rings)?.done()?;
            self.watcher.hear();
        }
    }

    /// Returns a source that takes the next signal. For [`select`](crate::Io#method.select). A signal that it does not
    /// take is kept, also for [`next`](Self::next).
    ///
    /// The waiter is woken by a thread of the process, `iolite-fd-watch`, which runs while there are such waits, through
    /// whatever `Io`.
    ///
    /// # Errors
    ///
    /// The output is an error if the system has no thread or no memory for the wait.
    pub fn on_next(&mut self) -> impl Selectable<Output = io::Result<Signal>> + '_ {
        OnFd::of(Arriving(self))
    }

    /// Takes a signal that has arrived, if there is one. Never suspends.
    pub fn try_next(&mut self) -> Option<Signal> {
        self.watcher.take().map(Signal)
    }
}

/// The next signal, whose watcher is exclusively borrowed, as a source.
struct Arriving<'a>(&'a mut Signals);

impl FdEvent for Arriving<'_> {
    type Output = Signal;

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.watcher.bell().as_fd())
    }

    fn is_there(&self) -> bool {
        self.0.watcher.has_arrived()
    }

    fn take(self, io: &dyn Io) -> io::Result<Signal> {
        self.0.wait(io)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for signal in &self.signals {
            signal_handler::forget(signal.0, &self.watcher);
        }
    }
}

/// Waits for Ctrl-C (`SIGINT`). Before and after the call, Ctrl-C ends the process; keep [`Signals`] to receive each
/// one.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of [`Signals::new`] and [`Signals::next`].
pub fn ctrl_c(io: &dyn Io) -> io::Result<()> {
    Signals::new([Signal::INTERRUPT])?.next(io).map(drop)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::select::OneOf2;
    use crate::testing::Failing;

    const IO: &dyn Io = &Failing;

    /// Makes a watcher of no signals, to which the test reports signals itself.
    fn untold() -> (Signals, Arc<Watcher>) {
        let signals = Signals::new([]).expect("a descriptor");
        let watcher = signals.watcher.clone();
        (signals, watcher)
    }

    /// The handler is between its two steps when its signal is taken, and rings while the next one is waited for.
    #[test]
    fn a_bell_that_rings_late_hides_no_signal() {
        for _ in 0..200 {
            let (mut signals, watcher) = untold();
            let waiter = thread::spawn(move || IO.select((IO.now() + Duration::from_secs(60), signals.on_next())));
            for _ in 0..10 {
                watcher.ring();
                thread::yield_now();
            }
            watcher.tell(Signal::USER1.0);
            let one = waiter.join().expect("no panic").expect("not canceled");
            assert!(matches!(one, OneOf2::Second(Ok(Signal::USER1))), "lost: {one:?}");
        }
    }

    #[test]
    fn a_bell_is_silent_when_its_signal_is_taken() {
        let (mut signals, watcher) = untold();
        watcher.tell(Signal::USER1.0);
        assert_eq!(signals.try_next(), Some(Signal::USER1));
        assert_eq!(rustix::io::read(watcher.bell(), &mut [0; 8]), Err(rustix::io::Errno::AGAIN));
    }
}
