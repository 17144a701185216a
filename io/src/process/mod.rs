//! Other programs: starting them, talking to them, waiting for them.
//!
//! What to start is said with std's [`Command`]; starting and waiting take `io`.
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
//!     stdin.write_all(io, text)?; // `sort` writes nothing before it has read all
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
//! A [`Child`] that is dropped goes on running, as std's does, unless it was told otherwise
//! ([`kill_on_drop`](Child::kill_on_drop)). Unlike std's it leaves no zombie: when it ends, a thread of the process,
//! `iolite-lookout`, which is there while such children are, takes note of it.
//!
//! # What a program inherits
//!
//! Of the process: its working directory, its environment, its user and its limits. Of the thread that starts it: the
//! processors that it may run on, its priority, its namespaces and its filters of system calls; and it is the end of that
//! thread which a program is told of that wants to end with its parent (`PR_SET_PDEATHSIG`).
//!
//! A thread of your own starts its programs itself. For tasks and for closures of [`offload`](crate::Io#method.offload), on
//! every backend, one of four threads of the process does, `iolite-spawn`. They last as long as the process, and have
//! inherited all of that from the thread on which they were needed first. A task that wants a program to have its own
//! affinity or namespaces lets a program set them that then becomes the other one, such as `taskset` or `unshare`.

mod child;
pub(crate) mod spawn;

use std::io;
use std::process::{Command, ExitStatus, Output, Stdio};

pub use child::Child;

use crate::Io;
use crate::operation::Operation;

/// Starts a program. Standard streams that nobody configured are this process's.
///
/// Its standard streams that are [piped](Stdio::piped) are those of the [`Child`]; all other descriptors of this library
/// are closed in it.
///
/// A program that has ended before `spawn` returns, and that others have reaped meanwhile (SIGCHLD is ignored, or somebody waits
/// for all children), can no longer be waited for: its number may be a stranger's, which is left alone. If in that moment the
/// same number went to another child of this process, that one is taken for it: std tells the number only, and its
/// `create_pidfd`, which leaves no such moment, is not stable.
///
/// # Cancellation
///
/// A cancellation point before it begins, also while it waits for a thread that starts it; a program that was started is
/// always returned.
///
/// # Errors
///
/// The errors of `fork` and `exec`, in an error that names the program and has the system's as its
/// [source](std::error::Error::source); or when no descriptors are left: then nothing was started, or it was killed.
pub fn spawn(io: &dyn Io, command: &mut Command) -> io::Result<Child> {
    io.operate(Operation::Spawn { command })?.spawned().map(Child::from)
}

/// Runs a program to its end and collects what it writes to its standard output and error, which this pipes, whatever the
/// command says of them; afterwards the command says nothing of them, and started again the program inherits them. Its
/// standard input is what the command says: where it says nothing, this process's, unlike with std.
///
/// # Cancellation
///
/// A cancellation point. The program is then killed, and has ended when this returns; what it had written is dropped.
/// Who wants to keep that, [spawns](spawn) and waits [with output](Child::wait_with_output), kills, waits and takes
/// [what was collected](Child::take_collected).
///
/// # Errors
///
/// As [`spawn`] and [`Child::wait_with_output`]. A program that reports a failure is none.
pub fn output(io: &dyn Io, command: &mut Command) -> io::Result<Output> {
    let output = to_its_end(io, command.stdout(Stdio::piped()).stderr(Stdio::piped()), Child::wait_with_output);
    command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    output
}

/// Runs a program to its end.
///
/// # Cancellation
///
/// As [`output`].
///
/// # Errors
///
/// As [`spawn`]. A program that reports a failure is none.
pub fn status(io: &dyn Io, command: &mut Command) -> io::Result<ExitStatus> {
    to_its_end(io, command, Child::wait)
}

/// Starts a program and waits for it; what cannot be waited for does not go on.
fn to_its_end<T>(
    io: &dyn Io,
    command: &mut Command,
    wait: impl FnOnce(&mut Child, &dyn Io) -> io::Result<T>,
) -> io::Result<T> {
    let mut child = spawn(io, command)?;
    child.kill_on_drop(true);
    let result = wait(&mut child, io);
    if result.is_err() && child.kill().is_ok() {
        // Soon, and nobody else does: should this `Io` have ended, the drop leaves it to the fd watcher.
        let _ = io.shield(|io| child.wait(io));
    }
    result
}
