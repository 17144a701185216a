//! The handle of a program that was started.

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

/// A program that was started, together with those of its standard streams that are piped.
///
/// Dropping the handle neither kills the program nor waits for it, unless [`kill_on_drop`](Self::kill_on_drop) is set.
/// The program goes on, and leaves no zombie when it ends.
#[derive(Debug)]
pub struct Child {
    /// The standard input of the program.
    pub stdin: Option<OutputStream>,
    /// The standard output of the program.
    pub stdout: Option<InputStream>,
    /// The standard error of the program.
    pub stderr: Option<InputStream>,
    /// The bytes of standard output and error that were read by a `wait_with_output` that did not return them.
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
    /// Returns the process ID.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the program has ended and returns its exit status. Can be called repeatedly. First closes the
    /// standard input of the program, which may be waiting for that.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The program goes on, and can be waited for again.
    ///
    /// # Errors
    ///
    /// Returns an error if other code has waited for the program, or if nobody can, because SIGCHLD is ignored
    /// (`ECHILD`).
    pub fn wait(&mut self, io: &dyn Io) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        io.check_cancel()?;
        wait(&mut self.process, io)
    }

    /// Returns a source that is ready when the program has ended; its output is the exit status, which every later wait
    /// returns again. For [`select`](crate::Io#method.select). Unlike [`wait`](Self::wait), this does not close the
    /// standard input of the program.
    ///
    /// The waiter is woken by a thread of the process, `iolite-fd-watch`, which runs while there are such waits, through
    /// whatever `Io`.
    ///
    /// # Errors
    ///
    /// The output is an error of `wait`, or says that the system has no thread or no memory for the wait.
    pub fn on_wait(&mut self) -> impl Selectable<Output = io::Result<ExitStatus>> + '_ {
        OnFd::of(Exiting(&mut self.process))
    }

    /// Returns the exit status of the program, or `None` while it runs. Never suspends.
    ///
    /// # Errors
    ///
    /// See [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Reads the standard output and error, as far as they are piped, to their ends, both at once, and waits until the
    /// program has ended. First closes the standard input of the program. As in std, a stream ends only when all
    /// programs that have inherited it have closed it: a program that was left in the background delays the return.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. Nothing is lost: the bytes that were read are kept for the next call, which continues.
    ///
    /// # Errors
    ///
    /// The errors of `read` and of [`wait`](Self::wait); an error if both streams are piped and no descriptor is left.
    pub fn wait_with_output(&mut self, io: &dyn Io) -> io::Result<Output> {
        drop(self.stdin.take());
        self.read_to_ends(io)?;
        let status = self.wait(io)?;
        let [stdout, stderr] = mem::take(&mut self.collected);
        Ok(Output { status, stdout, stderr })
    }

    /// Takes the bytes of the standard output and error that a canceled [`wait_with_output`](Self::wait_with_output)
    /// has read. Use it if you do not want to wait for the ends of the streams. They come only when the last program
    /// that inherited them has closed them, which may be one that the program has started and that outlives it.
    ///
    /// ```no_run
    /// use std::process::{Command, Stdio};
    /// use std::time::Duration;
    /// use iolite_io::{Io, process};
    ///
    /// /// Returns the output that a program has written within a second.
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

    /// Kills the program (SIGKILL). Does nothing if it has ended. Wait for it afterwards.
    ///
    /// # Errors
    ///
    /// Returns an error if the program runs as another user.
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends a signal to the program. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// See [`kill`](Self::kill).
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.process.descriptor().is_none() {
            return Ok(());
        }
        self.process.signal(signal.to_rustix()?)
    }

    /// Sets whether dropping the handle kills the program. It does not by default.
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

/// Reads once. Sets `stream` to `None` at its end.
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

/// Says which of several streams can be read, through one descriptor that can be waited for.
struct Readiness(Descriptor);

impl Readiness {
    fn of(streams: [&InputStream; 2]) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, stream) in (0..).zip(streams) {
            epoll::add(&set, stream, epoll::EventData::new_u64(index), epoll::EventFlags::IN)?;
        }
        Ok(Self(set.into()))
    }

    /// Waits until at least one stream can be read, and returns the indices of those that can.
    fn wait(&self, io: &dyn Io) -> io::Result<impl Iterator<Item = usize> + use<>> {
        io.operate(Operation::Ready { descriptor: &self.0, interest: Interest::Readable })?.done()?;
        let mut events = Vec::with_capacity(2);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        retry_on_intr(|| epoll::wait(&self.0, spare_capacity(&mut events), Some(&at_once)))?;
        Ok(events.into_iter().map(|event: epoll::Event| { event.data }.u64() as usize))
    }
}

/// Waits until a process has ended. A cancellation point, unless it has ended already.
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

/// The end of a process, whose handle is exclusively borrowed, as a source.
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
