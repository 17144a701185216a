//! A program that was started.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, WaitOptions, pidfd_open, pidfd_send_signal, waitid, waitpid,
};

use crate::Io;
use crate::context::Interest;
use crate::descriptor::Descriptor;
use crate::lookout;
use crate::operation::Operation;
use crate::signal::Signal;
use crate::stdio::{InputStream, OutputStream};
use crate::stream::read_more;
use crate::wait_any::{Sight, Sighting, Source};

/// A program that was started, with its standard streams where they are piped.
///
/// Dropping one neither kills nor waits, unless it [should](Self::kill_on_drop): the program goes on by itself, and leaves
/// no zombie.
#[derive(Debug)]
pub struct Child {
    /// What the program reads.
    pub stdin: Option<OutputStream>,
    /// What the program writes.
    pub stdout: Option<InputStream>,
    /// What the program writes to its standard error.
    pub stderr: Option<InputStream>,
    /// What was read of both by a `wait_with_output` that has not returned it.
    collected: [Vec<u8>; 2],
    process: Process,
}

/// A process that is waited for, by us or as an [`Orphan`].
#[derive(Debug)]
struct Process {
    id: u32,
    state: State,
    kill_on_drop: bool,
}

#[derive(Debug)]
enum State {
    Running(Running),
    Ended(ExitStatus),
}

/// A process of which nobody has seen the end: its number is not another's.
#[derive(Debug)]
struct Running {
    pid: Pid,
    pidfd: Descriptor,
}

/// Starts a program. Blocks the thread until it runs, which may take milliseconds; for backends, as
/// [`Operation::Spawn`].
///
/// # Cancellation
///
/// Not a cancellation point: the backend asks first.
///
/// # Errors
///
/// As [`spawn`](super::spawn).
pub fn spawn_blocking(command: &mut Command) -> io::Result<Child> {
    lookout::prepare().map_err(|error| not_spawned(command, error))?;
    let mut child = command.spawn().map_err(|error| not_spawned(command, error))?;
    match Pid::from_raw(child.id() as i32).ok_or(Errno::SRCH).and_then(open) {
        Ok(running) => Ok(Child {
            stdin: child.stdin.take().map(|stdin| OwnedFd::from(stdin).into()),
            stdout: child.stdout.take().map(|stdout| OwnedFd::from(stdout).into()),
            stderr: child.stderr.take().map(|stderr| OwnedFd::from(stderr).into()),
            collected: Default::default(),
            process: Process { id: child.id(), state: State::Running(running), kill_on_drop: false },
        }),
        Err(error) => {
            // No descriptor is left to wait with, so it is not kept. It ends at once.
            let _ = child.kill();
            let _ = child.wait();
            Err(not_spawned(command, error.into()))
        }
    }
}

fn open(pid: Pid) -> rustix::io::Result<Running> {
    Ok(Running { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())?.into() })
}

/// A program could not be started.
#[derive(Debug)]
struct NotSpawned {
    program: OsString,
    source: io::Error,
}

#[cold]
fn not_spawned(command: &Command, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), NotSpawned { program: command.get_program().into(), source })
}

impl fmt::Display for NotSpawned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start `{}`: {}", self.program.display(), self.source)
    }
}

impl Error for NotSpawned {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl Child {
    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id
    }

    /// Waits until the program has ended, and says how; again and again, if asked. Closes its standard input first,
    /// for which it may be waiting.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The program goes on and can be waited for again.
    ///
    /// # Errors
    ///
    /// When somebody else has waited for it (`ECHILD`).
    pub fn wait(&mut self, io: &dyn Io) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        io.check_cancel()?;
        self.process.wait(io)
    }

    /// Its end, and how, as one of many things to [wait for](crate::Io#method.wait_any). It is told again by every
    /// other wait. Unlike [`wait`](Self::wait), this does not close its standard input.
    ///
    /// A thread of the process wakes who waits, `iolite-lookout`, which is there while something like that is waited
    /// for; through which `Io` it is does not matter.
    ///
    /// # Errors
    ///
    /// Of what it comes to: those of `wait`; when the system has no thread or no memory for that.
    pub fn exiting(&mut self) -> impl Source<Output = io::Result<ExitStatus>> + '_ {
        Sighting::of(Exiting(&mut self.process))
    }

    /// How the program has ended; `None` while it runs. Never suspends.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Reads the standard output and error to their ends, where they are piped, side by side, and waits until the
    /// program has ended. Closes its standard input first.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. Nothing is lost: what was read is kept for the next call, which goes on.
    ///
    /// # Errors
    ///
    /// Those of `read` and of [`wait`](Self::wait); when no descriptor is left and both are piped.
    pub fn wait_with_output(&mut self, io: &dyn Io) -> io::Result<Output> {
        drop(self.stdin.take());
        self.read_to_ends(io)?;
        let status = self.wait(io)?;
        let [stdout, stderr] = mem::take(&mut self.collected);
        Ok(Output { status, stdout, stderr })
    }

    /// Ends the program by force (SIGKILL). Does nothing when it has ended. Wait for it afterwards.
    ///
    /// # Errors
    ///
    /// When the program runs as another user.
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends the program a signal. Does nothing when it has ended.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill).
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        self.process.signal(signal)
    }

    /// Whether dropping this ends the program by force; not, at first.
    pub fn kill_on_drop(&mut self, kill: bool) {
        self.process.kill_on_drop = kill;
    }

    fn read_to_ends(&mut self, io: &dyn Io) -> io::Result<()> {
        let ends = [&mut self.stdout, &mut self.stderr];
        if let [Some(stdout), Some(stderr)] = &ends {
            let both = Readiness::of([stdout, stderr])?;
            while ends.iter().all(|end| end.is_some()) {
                for index in both.wait(io)? {
                    read_some(io, ends[index], &mut self.collected[index])?;
                }
            }
        }
        for (end, bytes) in ends.into_iter().zip(&mut self.collected) {
            while end.is_some() {
                read_some(io, end, bytes)?;
            }
        }
        Ok(())
    }
}

/// Reads once; `stream` is gone at its end.
fn read_some(io: &dyn Io, stream: &mut Option<InputStream>, bytes: &mut Vec<u8>) -> io::Result<()> {
    let Some(open) = stream else { return Ok(()) };
    if read_more(bytes, 0, |buffer| open.read(io, buffer))? == 0 {
        *stream = None;
    }
    Ok(())
}

/// Which of several streams can be read, as one descriptor that can be waited for.
struct Readiness(Descriptor);

impl Readiness {
    fn of(streams: [&InputStream; 2]) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, stream) in (0..).zip(streams) {
            epoll::add(&set, stream, epoll::EventData::new_u64(index), epoll::EventFlags::IN)?;
        }
        Ok(Self(set.into()))
    }

    /// Waits until at least one can be read, and says which.
    fn wait(&self, io: &dyn Io) -> io::Result<impl Iterator<Item = usize> + use<>> {
        io.operate(Operation::Ready { descriptor: &self.0, interest: Interest::Readable })?.done()?;
        let mut events = Vec::with_capacity(2);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        retry_on_intr(|| epoll::wait(&self.0, spare_capacity(&mut events), Some(&at_once)))?;
        Ok(events.into_iter().map(|event: epoll::Event| { event.data }.u64() as usize))
    }
}

impl Process {
    /// A cancellation point, unless it has ended.
    fn wait(&mut self, io: &dyn Io) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if let State::Running(running) = &self.state {
                let ended = Operation::Ready { descriptor: &running.pidfd, interest: Interest::Readable };
                io.operate(ended)?.done()?;
            }
        }
    }

    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = match &self.state {
            State::Ended(status) => return Ok(Some(*status)),
            State::Running(running) => running.try_wait()?,
        };
        if let Some(status) = status {
            self.state = State::Ended(status);
        }
        Ok(status)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.state {
            State::Ended(_) => Ok(()),
            State::Running(running) => match pidfd_send_signal(&running.pidfd, signal.to_rustix()?) {
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
        if let State::Running(running) = mem::replace(&mut self.state, State::Ended(ExitStatus::default())) {
            lookout::adopt(Orphan(running));
        }
    }
}

impl Running {
    /// How it has ended. Then its number is free.
    fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let ended = retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::NOHANG))?;
        Ok(ended.map(|(_, status)| ExitStatus::from_raw(status.as_raw())))
    }

    /// Whether there is something to wait for, which is left as it is; or nothing any more, if somebody else has.
    fn can_be_waited_for(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(retry_on_intr(|| waitid(WaitId::Pid(self.pid), look)), Ok(None))
    }
}

/// A process whose handle was dropped.
#[derive(Debug)]
pub(crate) struct Orphan(Running);

impl Orphan {
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.0.pidfd.as_fd()
    }

    /// Whether there is nothing to wait for any more: this has, or somebody else.
    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

/// The end of a process whose handle is borrowed exclusively.
struct Exiting<'a>(&'a mut Process);

impl Sight for Exiting<'_> {
    type Output = ExitStatus;

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.0.state {
            State::Running(running) => Some(running.pidfd.as_fd()),
            State::Ended(_) => None,
        }
    }

    fn is_there(&self) -> bool {
        match &self.0.state {
            State::Running(running) => running.can_be_waited_for(),
            State::Ended(_) => true,
        }
    }

    fn take(self, io: &dyn Io) -> io::Result<ExitStatus> {
        self.0.wait(io)
    }
}
