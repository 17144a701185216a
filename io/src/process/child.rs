//! A program that was started.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ExitStatus, Output};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;

use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::{Interest, Operation, Process, Spawned};
use crate::select::{FdEvent, OnFd, Selectable};
use crate::signal::Signal;
use crate::stdio::{InputStream, OutputStream};
use crate::stream::ReadMore;

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

impl From<Spawned> for Child {
    fn from(Spawned { stdin, stdout, stderr, process }: Spawned) -> Self {
        Self {
            stdin: stdin.map(OutputStream::from),
            stdout: stdout.map(InputStream::from),
            stderr: stderr.map(InputStream::from),
            collected: Default::default(),
            process,
        }
    }
}

impl Child {
    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
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
    /// When somebody else has waited for it, or nobody can, since SIGCHLD is ignored (`ECHILD`).
    pub fn wait(&mut self, io: &dyn Io) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        io.check_cancel()?;
        wait(&mut self.process, io)
    }

    /// Its end, and how, as one of many things to [wait for](crate::Io#method.select). It is told again by every
    /// other wait. Unlike [`wait`](Self::wait), this does not close its standard input.
    ///
    /// A thread of the process wakes who waits, `iolite-lookout`, which is there while something like that is waited
    /// for; through which `Io` it is does not matter.
    ///
    /// # Errors
    ///
    /// Of what it comes to: those of `wait`; when the system has no thread or no memory for that.
    pub fn on_wait(&mut self) -> impl Selectable<Output = io::Result<ExitStatus>> + '_ {
        OnFd::of(Exiting(&mut self.process))
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
    /// program has ended. Closes its standard input first. As in std, the ends are those of all programs that have
    /// inherited the streams: one that the program leaves in the background holds this up.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. Nothing is lost: what was read is kept for the next call, which goes on.
    ///
    /// # Errors
    ///
    /// The errors of `read` and of [`wait`](Self::wait); when no descriptor is left and both are piped.
    pub fn wait_with_output(&mut self, io: &dyn Io) -> io::Result<Output> {
        drop(self.stdin.take());
        self.read_to_ends(io)?;
        let status = self.wait(io)?;
        let [stdout, stderr] = mem::take(&mut self.collected);
        Ok(Output { status, stdout, stderr })
    }

    /// Takes what a canceled [`wait_with_output`](Self::wait_with_output) has read of the standard output and error. For
    /// who does not wait for their ends, which come when the last program has closed them that inherited them: that may
    /// be one that the program has started and that goes on after it.
    ///
    /// ```no_run
    /// use std::process::{Command, Stdio};
    /// use std::time::Duration;
    /// use iolite_io::{Io, process};
    ///
    /// /// What a program has written within a second.
    /// fn within_a_second(io: &dyn Io, command: &mut Command) -> std::io::Result<Vec<u8>> {
    ///     let mut child = process::spawn(io, command.stdout(Stdio::piped()))?;
    ///     match io.timeout(Duration::from_secs(1), |io| child.wait_with_output(io)) {
    ///         Ok(output) => Ok(output.stdout),
    ///         Err(_) => {
    ///             child.kill()?;
    ///             child.wait(io)?;
    ///             Ok(child.take_collected().0)
    ///         }
    ///     }
    /// }
    /// ```
    pub fn take_collected(&mut self) -> (Vec<u8>, Vec<u8>) {
        mem::take(&mut self.collected).into()
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
        if self.process.descriptor().is_none() {
            return Ok(());
        }
        self.process.signal(signal.to_rustix()?)
    }

    /// Whether dropping this ends the program by force; not, at first.
    pub fn kill_on_drop(&mut self, kill: bool) {
        self.process.kill_on_drop = kill;
    }

    fn read_to_ends(&mut self, io: &dyn Io) -> io::Result<()> {
        let ends = [&mut self.stdout, &mut self.stderr];
        let mut more = [ReadMore::default(), ReadMore::default()];
        if let [Some(stdout), Some(stderr)] = &ends {
            let both = Readiness::of([stdout, stderr])?;
            while ends.iter().all(|end| end.is_some()) {
                for index in both.wait(io)? {
                    read_some(io, ends[index], &mut self.collected[index], &mut more[index])?;
                }
            }
        }
        for ((end, bytes), more) in ends.into_iter().zip(&mut self.collected).zip(&mut more) {
            while end.is_some() {
                read_some(io, end, bytes, more)?;
            }
        }
        Ok(())
    }
}

/// Reads once; `stream` is gone at its end.
fn read_some(
    io: &dyn Io,
    stream: &mut Option<InputStream>,
    bytes: &mut Vec<u8>,
    more: &mut ReadMore,
) -> io::Result<()> {
    let Some(open) = stream else { return Ok(()) };
    if more.read(bytes, |buffer| open.read(io, buffer))? == 0 {
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

/// Waits for the end of a process. A cancellation point, unless it has ended.
fn wait(process: &mut Process, io: &dyn Io) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        if let Some(descriptor) = process.descriptor() {
            io.operate(Operation::Ready { descriptor, interest: Interest::Readable })?.done()?;
        }
    }
}

/// The end of a process whose handle is borrowed exclusively.
struct Exiting<'a>(&'a mut Process);

impl FdEvent for Exiting<'_> {
    type Output = ExitStatus;

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.descriptor().map(AsFd::as_fd)
    }

    fn is_there(&self) -> bool {
        self.0.can_be_waited_for()
    }

    fn take(self, io: &dyn Io) -> io::Result<ExitStatus> {
        wait(self.0, io)
    }
}
