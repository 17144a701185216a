//! Child processes: starting programs, communicating with them, waiting for them.
//!
//! Describe the program with std's [`Command`]; starting and waiting take `io`.
//!
//! ```no_run
//! use std::process::{Command, Stdio};
//! use std::time::Duration;
//! use iolite_io::{Io, process};
//!
//! fn sort(io: &dyn Io, text: &[u8]) -> std::io::Result<Vec<u8>> {
//!     let mut command = Command::new("sort");
//!     let mut child = process::spawn(io, command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
//!     let stdin = child.stdin.take().expect("piped");
//!     stdin.write_all(io, text)?; // `sort` writes nothing until it has read all of its input
//!     drop(stdin);
//!     Ok(child.wait_with_output(io)?.stdout)
//! }
//!
//! fn version(io: &dyn Io) -> std::io::Result<Vec<u8>> {
//!     let output = io.timeout(Duration::from_secs(5), |io| process::output(io, Command::new("cc").arg("--version")))?;
//!     Ok(output.stdout)
//! }
//! ```
//!
//! When a [`Child`] is dropped, its program goes on, as with std, unless [`kill_on_drop`](Child::kill_on_drop) is set.
//! Unlike with std, it leaves no zombie: when it ends, it is reaped by a thread of this process, `iolite-fd-watch`,
//! which runs while such children exist.
//!
//! # Inheritance
//!
//! From the process, a program inherits the working directory, the environment, the user and the limits. From the
//! thread that starts it, it inherits the processors that it may run on, the priority, the namespaces and the filters
//! of system calls. A program that asks for a signal at the end of its parent (`PR_SET_PDEATHSIG`) gets it when that
//! thread ends.
//!
//! A plain thread starts its programs itself. For tasks and for closures of [`offload`](crate::Io#method.offload), on
//! every backend, one of up to four threads of the process, `iolite-spawn`, starts them. These threads last as long as
//! the process, and have inherited all of the above from the thread that first needed them. If a task wants a program
//! to have an affinity or namespaces of its own, it can start a program such as `taskset` or `unshare`, which sets them
//! and then becomes the wanted program.

mod child;
pub(crate) mod spawn;

use std::io;
use std::process::{Command, ExitStatus, Output, Stdio};

pub use child::Child;

use crate::Io;
use crate::operation::Operation;

/// Starts a program. A standard stream that was not configured is that of this process.
///
/// [Piped](Stdio::piped) standard streams are those of the [`Child`]. All other descriptors of this library are closed
/// in the program.
///
/// If a program ends before `spawn` returns and other code reaps it in that time (because SIGCHLD is ignored, or
/// because that code waits for all children), it can no longer be waited for. Its process ID may then belong to an
/// unrelated process, which is left alone. If the same ID went to another child of this process in that moment, that
/// child is taken for the program. This cannot be avoided: std returns only the ID, and its `create_pidfd`, which
/// leaves no such moment, is not stable.
///
/// # Cancellation
///
/// A cancellation point before the program starts, also while the call waits for a thread that starts it. A program
/// that was started is always returned.
///
/// # Errors
///
/// The errors of `fork` and `exec`, in an error that names the program and has the system's error as its
/// [source](std::error::Error::source); an error if no descriptors are left. In each case no program was started, or it
/// was killed.
pub fn spawn(io: &dyn Io, command: &mut Command) -> io::Result<Child> {
    io.operate(Operation::Spawn { command })?.spawned().map(Child::from)
}

/// Runs a program to its end and collects its standard output and error.
///
/// Both are piped, whatever `command` says about them. After the call, `command` has no setting for them, so that a
/// program that is started from it again inherits them. The standard input is the one that `command` names, or that of
/// this process if it names none, unlike with std.
///
/// # Cancellation
///
/// A cancellation point. After a cancellation the program has been killed and has ended, and its output is dropped. To
/// keep the output, [`spawn`] the program and wait [with output](Child::wait_with_output); after a cancellation
/// kill it, wait for it, and take [the collected output](Child::take_collected).
///
/// # Errors
///
/// The errors of [`spawn`] and [`Child::wait_with_output`]. An exit status that reports a failure is not an error.
pub fn output(io: &dyn Io, command: &mut Command) -> io::Result<Output> {
    let output = to_its_end(io, command.stdout(Stdio::piped()).stderr(Stdio::piped()), Child::wait_with_output);
    command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    output
}

/// Runs a program to its end and returns its exit status.
///
/// # Cancellation
///
/// A cancellation point. After a cancellation the program has been killed and has ended.
///
/// # Errors
///
/// The errors of [`spawn`]. An exit status that reports a failure is not an error.
pub fn status(io: &dyn Io, command: &mut Command) -> io::Result<ExitStatus> {
    to_its_end(io, command, Child::wait)
}

/// Starts a program and waits for it. If the wait fails, kills the program.
fn to_its_end<T>(
    io: &dyn Io,
    command: &mut Command,
    wait: impl FnOnce(&mut Child, &dyn Io) -> io::Result<T>,
) -> io::Result<T> {
    let mut child = spawn(io, command)?;
    child.kill_on_drop(true);
    let result = wait(&mut child, io);
    if result.is_err() && child.kill().is_ok() {
        // The program ends soon, and nobody else waits for it. If this `Io` has ended, dropping `child` leaves it to
        // the fd watcher.
        let _ = io.shield(|io| child.wait(io));
    }
    result
}
