//! Making, running and ending an evented runtime.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use iolite_io::Io;
use iolite_io::backend::{Slot, Start, current};
use iolite_io::sync::Event;

use crate::executor::Executor;
use crate::options::Options;
use crate::runtime::Runtime;

/// A runtime of fibers on io_uring whose executors all have threads of their own.
///
/// It is meant for tests and for programs with threads that iolite does not manage. A whole program is better off with
/// [`Evented::prepare`] and [`Prepared::run`]. Dropping it shuts it down and waits; on a fiber, the other fibers of the
/// executor run during the wait. If one of its own tasks drops it, it cannot wait for that task, and a fiber that must
/// not suspend cannot wait either. In both cases it only begins to shut down, and says so through [`Options::report`].
#[derive(Debug)]
pub struct Evented {
    runtime: Arc<Runtime>,
    threads: Vec<Thread>,
}

/// The thread of an executor.
#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    /// Set when the executor has nothing left to do on the thread.
    ended: Arc<Event>,
}

impl Evented {
    /// Starts the executors.
    ///
    /// # Errors
    ///
    /// An error that names a bad option, or the reason why io_uring cannot be used here: the kernel does not have it,
    /// it is denied, there is no memory or no descriptor for it, or no thread for an executor.
    pub fn new(options: Options) -> io::Result<Self> {
        let runtime = Runtime::new(options)?;
        let mut evented = Self { runtime, threads: Vec::new() };
        for index in 0..evented.runtime.options().executors {
            let thread = spawn_executor(&evented.runtime, index)?;
            evented.threads.push(thread);
        }
        Ok(evented)
    }

    /// Prepares a runtime for a program whose main task runs on the calling thread.
    ///
    /// Every step that can fail happens here, so a caller that has another backend to fall back to still owns its
    /// program.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); and an error if the caller is itself a fiber, because this would block its
    /// executor.
    pub fn prepare(options: Options) -> io::Result<Prepared> {
        if !current(|context| context.is_thread()) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, ON_A_FIBER));
        }
        let runtime = Runtime::new(options)?;
        // The ring belongs to the thread that makes it.
        let (executor, features) = Executor::new(0, runtime.clone())?;
        executor.prepare_main()?;
        runtime.set_features(features);
        let mut evented = Evented { runtime, threads: Vec::new() };
        for index in 1..evented.runtime.options().executors {
            match spawn_executor(&evented.runtime, index) {
                Ok(thread) => evented.threads.push(thread),
                Err(error) => {
                    evented.runtime.close();
                    executor.run();
                    return Err(error);
                }
            }
        }
        Ok(Prepared { executor: Some(executor), evented })
    }

    /// Returns the `Io` of this runtime.
    pub fn io(&self) -> &dyn Io {
        &*self.runtime
    }

    /// Returns an owned handle to the `Io` of this runtime. It does not own the runtime: its calls fail after the
    /// shutdown.
    pub fn handle(&self) -> Arc<dyn Io> {
        self.runtime.clone()
    }

    /// Shuts down: tears down every task, so that each of its cancellation points returns `Canceled`, and waits until
    /// all have ended.
    ///
    /// The wait includes tasks that ignore cancellation; [`Options::report`] receives their names after
    /// [`Options::grace`].
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point: a request to the caller does not end the wait.
    ///
    /// # Panics
    ///
    /// Resumes the panic of an executor, which would be a bug of this crate.
    pub fn shutdown(self) {}

    fn join(&mut self) {
        self.runtime.close();
        if self.runtime.is_called_by_own_task() {
            self.runtime.report().send_dropped_by_own_task();
            // The threads end by themselves.
            self.threads.clear();
        }
        let (is_thread, may_suspend) = current(|context| (context.is_thread(), context.may_suspend()));
        if !is_thread && !may_suspend && !self.threads.is_empty() {
            self.runtime.report().send(
                "the runtime was dropped on a fiber that must not suspend: its shutdown continues, but nobody waits for it",
            );
            self.threads.clear();
        }
        for thread in self.threads.drain(..) {
            if !is_thread {
                // The tasks may be waiting for another fiber of this thread.
                thread.ended.wait_uncancelable(&*self.runtime);
            } else if let Err(panic) = thread.handle.join()
                && !thread::panicking()
            {
                resume_unwind(panic);
            }
        }
    }
}

impl Drop for Evented {
    fn drop(&mut self) {
        self.join();
    }
}

/// An evented runtime that is ready to run; executor 0 is the calling thread.
#[must_use = "it runs nothing by itself"]
pub struct Prepared {
    executor: Option<Executor>,
    evented: Evented,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("evented", &self.evented).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Runs `main` as the first task, on a fiber of the calling thread. Then it shuts down, and returns when every task
    /// has ended.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point: the caller is not a task of this runtime, so a request to it ends neither `main` nor
    /// the wait. The calls of `main` itself are cancellation points of the main task.
    ///
    /// # Panics
    ///
    /// Resumes `main`'s panic, after the shutdown. Panics on a fiber of another runtime.
    #[allow(unsafe_code)]
    pub fn run<T>(mut self, main: impl FnOnce(&dyn Io) -> T) -> T {
        assert!(current(|context| context.is_thread()), "{ON_A_FIBER}");
        let executor = self.executor.take().expect("runs once");
        let runtime = self.evented.runtime.clone();
        let body = || {
            let outcome = catch_unwind(AssertUnwindSafe(|| main(&*runtime)));
            // The end of the main task is the end of the program.
            runtime.close();
            outcome
        };
        // SAFETY: the task runs to its end within `executor.run()`, on this thread, before the borrows of `body` end;
        // nothing below returns early.
        let (start, outcome) = unsafe { Start::scoped("main", body) };
        match runtime.accept(start, Slot::Uncounted) {
            Ok(unstarted) => executor.assign_main(unstarted),
            Err(_) => unreachable!("a runtime that has not run accepts its main task"),
        }
        executor.run();
        self.evented.join();
        match outcome.take().and_then(|outcome| outcome) {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(executor) = self.executor.take() {
            self.evented.runtime.close();
            executor.run();
        }
    }
}

const ON_A_FIBER: &str =
    "run was called on a fiber: it would block the fiber's executor; call it on a thread (spawn_thread)";

/// Starts the executor with number `index` on a thread of its own.
fn spawn_executor(runtime: &Arc<Runtime>, index: usize) -> io::Result<Thread> {
    let (ready, made) = mpsc::channel();
    let (told, ended) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (tells, ends) = (SetOnDrop(told.clone()), SetOnDrop(ended.clone()));
    let io = runtime.clone();
    let runtime = runtime.clone();
    let handle = thread::Builder::new().name(format!("iolite-exec-{index}")).spawn(move || {
        let _ends = ends;
        // Dropped after the result was sent through `ready`.
        let tells = tells;
        match Executor::new(index, runtime.clone()) {
            Ok((executor, features)) => {
                runtime.set_features(features);
                let _ = ready.send(Ok(()));
                drop((ready, runtime, tells));
                executor.run();
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    })?;
    if current(|context| !context.is_thread() && context.may_suspend()) {
        // A fiber lets the others of its executor run in the meantime.
        told.wait_uncancelable(&*io);
    }
    match made.recv() {
        Ok(Ok(())) => Ok(Thread { handle, ended }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the thread of an executor ended before it began")),
    }
}

/// Sets an event when it is dropped, also during unwinding.
struct SetOnDrop(Arc<Event>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}
