//! Starting programs.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::event::{EventfdFlags, eventfd};

use crate::context::{current, is_thread_of_pool};
use crate::explained::explained;
use crate::fd_watcher;
use crate::offload::BlockingPool;
use crate::operation::{Job, Process, Spawned};
use crate::sys::per_process::PerProcess;
use crate::{Canceled, Io};

/// The threads that start programs for tasks. A program that asks for a signal at the end of its parent
/// (`PR_SET_PDEATHSIG`) gets it when the thread that started it ends, so these threads never end.
static SPAWNERS: PerProcess<Spawners> = PerProcess::new();

/// Made anew in a child of `fork`, which has none of its parent's threads.
struct Spawners(BlockingPool);

impl Default for Spawners {
    fn default() -> Self {
        Self(BlockingPool::lasting("iolite-spawn", SPAWNERS_MAX))
    }
}

/// The maximum number of programs that are started for tasks at the same time.
const SPAWNERS_MAX: usize = 4;

/// Starts a program, for backends that perform [`Operation::Spawn`](crate::operation::Operation::Spawn). A plain thread
/// starts it itself. For a task, and on the threads of pools, a thread that lasts as long as the process starts it.
///
/// # Cancellation
///
/// A cancellation point until a thread is free to start the program; on a plain thread, not a cancellation point.
///
/// # Errors
///
/// See [`spawn`](super::spawn).
pub fn spawn_program(io: &dyn Io, command: &mut Command) -> io::Result<Spawned> {
    if current(|context| context.is_thread()) && !is_thread_of_pool() {
        return spawn_here(command);
    }
    spawn_on(&SPAWNERS.get().0, io, command)
}

fn spawn_on(threads: &BlockingPool, io: &dyn Io, command: &mut Command) -> io::Result<Spawned> {
    let mut child = None;
    match threads.run_to_end(io, Job::new(&mut || child = Some(spawn_here(command)))) {
        Ok(()) => child.unwrap_or_else(|| unreachable!("the job has run")),
        Err(error) if Canceled::is_in(&error) => Err(error),
        Err(error) => Err(not_spawned(command, error)),
    }
}

/// Starts a program on the calling thread and waits until it runs.
fn spawn_here(command: &mut Command) -> io::Result<Spawned> {
    // Reserves room for the descriptor of the process, without which no program is started.
    let room = fd_watcher::prepare().and_then(|()| Ok(eventfd(0, EventfdFlags::CLOEXEC)?));
    let room = room.map_err(|error| not_spawned(command, error))?;
    let mut child = command.spawn().map_err(|error| not_spawned(command, error))?;
    drop(room);
    let process = match Process::open(child.id()) {
        Ok(process) => process,
        Err(error) => {
            // Other code took the room. The ID of a process that can still be waited for is not reused.
            let _ = child.kill();
            let _ = child.wait();
            return Err(not_spawned(command, error.into()));
        }
    };
    Ok(Spawned {
        stdin: child.stdin.take().map(|stdin| OwnedFd::from(stdin).into()),
        stdout: child.stdout.take().map(|stdout| OwnedFd::from(stdout).into()),
        stderr: child.stderr.take().map(|stderr| OwnedFd::from(stderr).into()),
        process,
    })
}

/// Makes the error of a program that could not be started.
#[cold]
fn not_spawned(command: &Command, source: io::Error) -> io::Error {
    explained(source.kind(), format!("cannot start `{}`", command.get_program().display()), source)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::offload::Parks;

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
            while child.process.try_wait().expect("asked").is_none() {
                thread::yield_now();
            }
        });
    }
}
