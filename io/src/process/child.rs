//! A program that was started.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid};

use crate::backend::{BlockingPool, PerProcess, explained};
use crate::context::{Interest, current, is_thread_of_pool};
use crate::descriptor::Descriptor;
use crate::lookout;
use crate::operation::{Job, Operation};
use crate::select::{Selectable, Sight, Sighting};
use crate::signal::Signal;
use crate::stdio::{InputStream, OutputStream};
use crate::stream::ReadMore;
use crate::{Canceled, Io};

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
    /// It has ended, and how is known to somebody else or to nobody.
    Lost,
}

/// A process of which nobody has seen the end.
#[derive(Debug)]
struct Running {
    /// Stands for this process alone, also when its number is another's.
    pidfd: Descriptor,
}

/// The threads that start programs for tasks. A program that wants to end with its parent (`PR_SET_PDEATHSIG`) is told
/// of the end of the thread that started it, so these never end.
static SPAWNERS: PerProcess<Spawners> = PerProcess::new();

/// A child of `fork` has none of its parent's threads.
struct Spawners(BlockingPool);

impl Default for Spawners {
    fn default() -> Self {
        Self(BlockingPool::lasting("iolite-spawn", SPAWNERS_MAX))
    }
}

/// How many programs are started for tasks at the same time.
const SPAWNERS_MAX: usize = 4;

/// Starts a program, for backends, as [`Operation::Spawn`]: a plain thread starts it itself; for a task, and on the
/// threads of pools, a thread of the process does, which lasts as long as the process.
///
/// # Cancellation
///
/// A cancellation point for as long as no thread is there to start the program; none for a plain thread.
///
/// # Errors
///
/// As [`spawn`](super::spawn).
pub fn spawn_program(io: &dyn Io, command: &mut Command) -> io::Result<Child> {
    if current(|context| context.is_thread()) && !is_thread_of_pool() {
        return spawn_here(command);
    }
    spawn_on(&SPAWNERS.get().0, io, command)
}

fn spawn_on(threads: &BlockingPool, io: &dyn Io, command: &mut Command) -> io::Result<Child> {
    let mut child = None;
    match threads.run_to_end(io, Job::new(&mut || child = Some(spawn_here(command)))) {
        Ok(()) => child.unwrap_or_else(|| unreachable!("the job has run")),
        Err(error) if Canceled::is_in(&error) => Err(error),
        Err(error) => Err(not_spawned(command, error)),
    }
}

/// Starts a program on the calling thread, which waits until it runs.
fn spawn_here(command: &mut Command) -> io::Result<Child> {
    // Room for the descriptor of the process, without which nothing is started.
    let room = lookout::prepare().and_then(|()| Ok(eventfd(0, EventfdFlags::CLOEXEC)?));
    let room = room.map_err(|error| not_spawned(command, error))?;
    let mut child = command.spawn().map_err(|error| not_spawned(command, error))?;
    drop(room);
    let state = match open(child.id()) {
        Ok(state) => state,
        Err(error) => {
            // Somebody else took the room. A process that can be waited for has its number to itself.
            let _ = child.kill();
            let _ = child.wait();
            return Err(not_spawned(command, error.into()));
        }
    };
    Ok(Child {
        stdin: child.stdin.take().map(|stdin| OwnedFd::from(stdin).into()),
        stdout: child.stdout.take().map(|stdout| OwnedFd::from(stdout).into()),
        stderr: child.stderr.take().map(|stderr| OwnedFd::from(stderr).into()),
        collected: Default::default(),
        process: Process { id: child.id(), state, kill_on_drop: false },
    })
}

/// The process that was started under a number, if it can still be waited for. Otherwise the number may be another's.
///
/// # Errors
///
/// When the process can be waited for, but there is no descriptor for it.
fn open(id: u32) -> rustix::io::Result<State> {
    let Some(pid) = Pid::from_raw(id as i32) else { return Err(Errno::SRCH) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) if is_child(WaitId::PidFd(pidfd.as_fd())) => Ok(State::Running(Running { pidfd: pidfd.into() })),
        Err(error) if is_child(WaitId::Pid(pid)) => Err(error),
        _ => Ok(State::Lost),
    }
}

/// Whether this process can wait for that one.
fn is_child(process: WaitId<'_>) -> bool {
    !matches!(look(process), Err(Errno::CHILD))
}

/// Looks whether a process has ended, and leaves it as it is.
fn look(process: WaitId<'_>) -> rustix::io::Result<Option<WaitIdStatus>> {
    retry_on_intr(|| waitid(process.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT))
}

/// A program could not be started.
#[cold]
fn not_spawned(command: &Command, source: io::Error) -> io::Error {
    explained(source.kind(), format!("cannot start `{}`", command.get_program().display()), source)
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
    /// When somebody else has waited for it, or nobody can, since SIGCHLD is ignored (`ECHILD`).
    pub fn wait(&mut self, io: &dyn Io) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        io.check_cancel()?;
        self.process.wait(io)
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
    /// program has ended. Closes its standard input first. As in std, the ends are those of all programs that have
    /// inherited the streams: one that the program leaves in the background holds this up.
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
        self.process.signal(signal)
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

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.state {
            State::Ended(_) | State::Lost => Ok(()),
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
        if let State::Running(running) = mem::replace(&mut self.state, State::Lost) {
            lookout::adopt(Orphan(running));
        }
    }
}

impl Running {
    /// How it has ended. Then its number is free.
    fn try_wait(&self) -> rustix::io::Result<Option<ExitStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let ended = retry_on_intr(|| waitid(WaitId::PidFd(self.pidfd.as_fd()), options))?;
        Ok(ended.map(|status| exit_status(&status)))
    }

    /// Whether there is something to wait for, which is left as it is; or nothing any more, if somebody else has.
    fn can_be_waited_for(&self) -> bool {
        !matches!(look(WaitId::PidFd(self.pidfd.as_fd())), Ok(None))
    }
}

/// As `waitpid` has it: the exit code in the second byte, or else the signal, with a bit for a core dump.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    const CORE_DUMPED: i32 = 0x80;
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    let signal =
        || status.terminating_signal().map(|signal| if status.dumped() { signal | CORE_DUMPED } else { signal });
    ExitStatus::from_raw(code.or_else(signal).unwrap_or_default())
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
            State::Ended(_) | State::Lost => None,
        }
    }

    fn is_there(&self) -> bool {
        match &self.0.state {
            State::Running(running) => running.can_be_waited_for(),
            State::Ended(_) | State::Lost => true,
        }
    }

    fn take(self, io: &dyn Io) -> io::Result<ExitStatus> {
        self.0.wait(io)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::backend::Parks;

    #[test]
    fn who_waits_for_a_thread_to_start_a_program_can_be_canceled() {
        let threads = BlockingPool::new("test", 1);
        let (release, blocked) = mpsc::channel::<()>();
        let (begins, begun) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                threads.run(&Parks, move || {
                    begins.send(()).expect("awaited");
                    blocked.recv()
                })
            });
            begun.recv().expect("it begins");
            let mut command = Command::new("true");
            let started = (&Parks as &dyn Io).timeout(Duration::ZERO, |io| spawn_on(&threads, io, &mut command));
            assert_eq!(started.expect_err("no thread is free").kind(), io::ErrorKind::TimedOut);
            release.send(()).expect("it waits");
            let mut child = spawn_on(&threads, &Parks, &mut command).expect("the command is as it was");
            while child.try_wait().expect("asked").is_none() {
                thread::yield_now();
            }
        });
    }

    #[test]
    fn a_number_that_is_nobodys_child_is_left_alone() {
        // This process is no child of its own, as the stranger is none who has the number of a program that is gone.
        assert!(matches!(open(std::process::id()), Ok(State::Lost)));
        let none = Pid::from_raw(i32::MAX).expect("a number");
        assert!(matches!(open(none.as_raw_nonzero().get() as u32), Ok(State::Lost)));
    }
}
