//! A program that was started, as the answer to an operation.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
};

use crate::descriptor::Descriptor;
use crate::fd_watcher;

/// A program that [`spawn_program`](crate::backend::spawn_program) has started. [`Child`](crate::process::Child) is made
/// from it.
#[derive(Debug)]
pub struct Spawned {
    /// What the program reads, where that is piped.
    pub stdin: Option<Descriptor>,
    /// What the program writes, where that is piped.
    pub stdout: Option<Descriptor>,
    /// What the program writes to its standard error, where that is piped.
    pub stderr: Option<Descriptor>,
    pub(crate) process: Process,
}

/// A process that this one has started. When it is dropped before its end was seen, the fd watcher waits for the process,
/// so that it leaves no zombie.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    state: State,
    pub(crate) kill_on_drop: bool,
}

#[derive(Debug)]
enum State {
    Running(Running),
    Ended(ExitStatus),
    /// It has ended, and how is known to somebody else or to nobody.
    Lost,
}

/// A process of which nobody has seen the end.
#[derive(Debug)]
struct Running {
    /// Stands for this process alone, also when its number is another's.
    pidfd: Descriptor,
}

impl Process {
    /// The process that was started under a number. If it can no longer be waited for, the number may be another's.
    ///
    /// # Errors
    ///
    /// When the process can be waited for, but there is no descriptor for it.
    pub(crate) fn open(id: u32) -> rustix::io::Result<Self> {
        Ok(Self { id, state: State::open(id)?, kill_on_drop: false })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The descriptor that can be read from when the process has ended; none where its end was seen.
    pub(crate) fn descriptor(&self) -> Option<&Descriptor> {
        match &self.state {
            State::Running(running) => Some(&running.pidfd),
            State::Ended(_) | State::Lost => None,
        }
    }

    /// Returns true if [`try_wait`](Self::try_wait) would not return `Ok(None)`.
    pub(crate) fn can_be_waited_for(&self) -> bool {
        match &self.state {
            State::Running(running) => !matches!(look(WaitId::PidFd(running.pidfd.as_fd())), Ok(None)),
            State::Ended(_) | State::Lost => true,
        }
    }

    /// Returns how the process has ended, if it has; then its number is free.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = match &self.state {
            State::Ended(status) => return Ok(Some(*status)),
            State::Lost => return Err(Errno::CHILD.into()),
            State::Running(running) => running.try_wait(),
        };
        match status {
            Ok(Some(status)) => self.state = State::Ended(status),
            Err(Errno::CHILD) => self.state = State::Lost,
            _ => {}
        }
        Ok(status?)
    }

    /// Sends a signal to the process, if it has not ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.descriptor() {
            None => Ok(()),
            Some(pidfd) => match pidfd_send_signal(pidfd, signal) {
                // It has ended, and nobody has waited yet.
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // What cannot be killed goes on.
            let _ = self.signal(Signal::KILL);
        }
        if let State::Running(running) = mem::replace(&mut self.state, State::Lost) {
            fd_watcher::adopt(running);
        }
    }
}

impl State {
    fn open(id: u32) -> rustix::io::Result<Self> {
        let Some(pid) = Pid::from_raw(id as i32) else { return Err(Errno::SRCH) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) if is_child(WaitId::PidFd(pidfd.as_fd())) => Ok(State::Running(Running { pidfd: pidfd.into() })),
            Err(error) if is_child(WaitId::Pid(pid)) => Err(error),
            _ => Ok(State::Lost),
        }
    }
}

impl Running {
    fn try_wait(&self) -> rustix::io::Result<Option<ExitStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let ended = retry_on_intr(|| waitid(WaitId::PidFd(self.pidfd.as_fd()), options))?;
        Ok(ended.map(|status| exit_status(&status)))
    }
}

impl fd_watcher::Orphan for Running {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Returns true if the process has ended. This has then waited for it, or somebody else has.
    fn has_ended(&self) -> bool {
        !matches!(self.try_wait(), Ok(None))
    }
}

/// Returns true if this process can wait for that one.
fn is_child(process: WaitId<'_>) -> bool {
    !matches!(look(process), Err(Errno::CHILD))
}

/// Looks whether a process has ended, and leaves it as it is.
fn look(process: WaitId<'_>) -> rustix::io::Result<Option<WaitIdStatus>> {
    retry_on_intr(|| waitid(process.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT))
}

/// As `waitpid` has it: the exit code in the second byte, or else the signal, with a bit for a core dump.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    const CORE_DUMPED: i32 = 0x80;
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    let signal =
        || status.terminating_signal().map(|signal| if status.dumped() { signal | CORE_DUMPED } else { signal });
    ExitStatus::from_raw(code.or_else(signal).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_nobodys_child_is_left_alone() {
        // This process is no child of its own, as the stranger is none who has the number of a program that is gone.
        assert!(matches!(State::open(std::process::id()), Ok(State::Lost)));
        let none = Pid::from_raw(i32::MAX).expect("a number");
        assert!(matches!(State::open(none.as_raw_nonzero().get() as u32), Ok(State::Lost)));
    }
}
