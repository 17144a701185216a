//! A small bounded pool of threads for blocking jobs.
#![allow(unsafe_code)]

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Io;
use crate::context::{self, mark_thread_of_pool, panic_text};
use crate::dropping::drop_panic;
use crate::explained::explained;
use crate::operation;
use crate::primitive::Lock;
use crate::sync::{Event, Semaphore};

/// A pool of a few operating-system threads for jobs that block and cannot be interrupted.
///
/// Callers wait by parking their contexts, so a fiber that waits does not block its executor. Threads are started when
/// they are needed and end when they have been idle for a while. Dropping the pool does not wait.
pub struct BlockingPool {
    shared: Arc<Shared>,
}

struct Shared {
    /// The prefix of the thread names: `name-1` and so on.
    name: String,
    limit: usize,
    idle_timeout: Duration,
    /// Has one permit per allowed thread: a job with a permit gets a thread.
    free: Semaphore,
    state: Lock<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Jobs that have a permit and no thread yet, at most `limit`.
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// The number of threads that were ever started, for their names.
    started: usize,
    closed: bool,
}

type Job = Box<dyn FnOnce() + Send>;

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingPool").field("name", &self.shared.name).field("limit", &self.shared.limit).finish()
    }
}

impl Default for BlockingPool {
    /// Makes a pool of up to [`LIMIT_DEFAULT`](Self::LIMIT_DEFAULT) threads named `blocking`.
    fn default() -> Self {
        Self::new("blocking", Self::LIMIT_DEFAULT)
    }
}

impl BlockingPool {
    /// The maximum number of threads of the default pool.
    pub const LIMIT_DEFAULT: usize = 4;

    /// Makes a pool of at most `limit` threads, but at least one, named after `name`.
    pub fn new(name: &str, limit: usize) -> Self {
        Self::with_idle_timeout(name, limit, Duration::from_secs(10))
    }

    /// Makes a pool whose threads last as long as the process.
    pub(crate) fn lasting(name: &str, limit: usize) -> Self {
        Self::with_idle_timeout(name, limit, Duration::MAX)
    }

    fn with_idle_timeout(name: &str, limit: usize, idle_timeout: Duration) -> Self {
        let limit = limit.max(1);
        let shared = Shared {
            name: name.into(),
            limit,
            idle_timeout,
            free: Semaphore::new(limit),
            state: Lock::default(),
            wake: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs `job` on a thread of the pool and returns its value. First waits for a free thread, in the order of the
    /// calls.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A job that has begun cannot be stopped: it goes on in the background and keeps its thread
    /// until it ends, and its value is dropped.
    ///
    /// # Errors
    ///
    /// [`Canceled`](crate::Canceled); an error if the system provides no thread at all, or if the job panics.
    pub fn run<T: Send + 'static>(&self, io: &dyn Io, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let answer = self.begin(io, job)?;
        answer.given.wait(io)?;
        answer.take().map_err(|panic| self.panicked(&*panic))
    }

    /// Runs `job`, which may borrow from the caller, on a thread of the pool, and returns when it has ended. First
    /// waits for a free thread, in the order of the calls.
    ///
    /// # Cancellation
    ///
    /// A cancellation point until a thread is free; a canceled job is withdrawn. After that, the call waits until the
    /// job has ended.
    ///
    /// # Errors
    ///
    /// [`Canceled`](crate::Canceled); an error if the system provides no thread at all. The job has not run in either
    /// case.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the job.
    pub fn run_to_end(&self, io: &dyn Io, job: operation::Job<'_>) -> io::Result<()> {
        // SAFETY: only the lifetime changes. The job has ended, or was dropped without running, when this returns or
        // unwinds: `begin` drops it if it fails, and otherwise the wait for its end follows, which nothing ends early;
        // an `Io` that panics in it ends the process.
        let job = unsafe { mem::transmute::<operation::Job<'_>, operation::Job<'static>>(job) };
        let answer = self.begin(io, || job.run())?;
        context::or_abort(|| answer.given.wait_uncancelable(io));
        answer.take().or_else(|panic| resume_unwind(panic))
    }

    /// Waits for a free thread and gives it the job.
    fn begin<T: Send + 'static>(
        &self,
        io: &dyn Io,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Arc<Answer<T>>> {
        let answer = Arc::new(Answer { value: Lock::new(None), given: Event::new() });
        let theirs = answer.clone();
        self.start(io, move || {
            *theirs.value.lock() = Some(catch_unwind(AssertUnwindSafe(job)));
            theirs.given.set();
        })?;
        Ok(answer)
    }

    /// Runs `job` on a thread of the pool without waiting for its end. First waits for a free thread, in the order of
    /// the calls.
    ///
    /// # Cancellation
    ///
    /// A cancellation point until a thread is free.
    ///
    /// # Errors
    ///
    /// [`Canceled`](crate::Canceled); an error if the system provides no thread at all. The job is dropped in either
    /// case.
    pub fn start(&self, io: &dyn Io, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        // The permit is given back when the job has ended, whether or not a caller still waits for it.
        self.shared.free.acquire(io)?.forget();
        let shared = self.shared.clone();
        self.shared.submit(Box::new(move || {
            // A job that has to report its panics catches them itself.
            run_quietly(job);
            shared.free.add_permits(1);
        }))
    }

    #[cold]
    fn panicked(&self, panic: &(dyn Any + Send)) -> io::Error {
        let message = panic_text(panic);
        io::Error::other(format!("a job of the pool `{}` panicked: {message}", self.shared.name))
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

/// Runs code of the program, including the destructors of everything that it leaves on this thread. Its panics are not
/// reported.
fn run_quietly(job: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
        drop_panic(panic);
    }
    // Thread-local values would otherwise pass to the next job.
    context::current(|context| context.drop_locals_after_panic());
}

/// The state that a job and its caller share. The caller may be gone.
struct Answer<T> {
    value: Lock<Option<thread::Result<T>>>,
    given: Event,
}

impl<T> Answer<T> {
    fn take(&self) -> thread::Result<T> {
        let Some(value) = self.value.lock().take() else { unreachable!("the event is set after the value") };
        value
    }
}

impl Shared {
    /// Queues a job whose caller has a permit, and makes sure that a thread will take it.
    fn submit(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            drop(state);
            self.wake.notify_one();
            return Ok(());
        }
        // A thread that gave its permit back and has not looked for the next job yet takes this one.
        if state.threads == self.limit {
            return Ok(());
        }
        state.started += 1;
        let shared = self.clone();
        let thread = thread::Builder::new().name(format!("{}-{}", self.name, state.started));
        match thread.spawn(move || shared.work()) {
            Ok(_) => state.threads += 1,
            // The existing threads will take it in turn.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                let job = state.jobs.pop_back();
                drop(state);
                drop(job);
                self.free.add_permits(1);
                return Err(self.no_thread(error));
            }
        }
        Ok(())
    }

    /// Has no errno, because the errno of the system would look like that of the requested call.
    #[cold]
    fn no_thread(&self, source: io::Error) -> io::Error {
        explained(
            io::ErrorKind::Other,
            format!("the system cannot start a thread for the pool `{}`", self.name),
            source,
        )
    }

    fn work(&self) {
        mark_thread_of_pool();
        while let Some(job) = self.next() {
            job();
        }
    }

    /// Returns the next job, or `None` if the thread has to end, which has then been counted already.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (guard, timeout) =
                self.wake.wait_timeout(state, self.idle_timeout).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }
}

/// An `Io` that only parks.
#[cfg(test)]
pub(crate) struct Parks;

#[cfg(test)]
impl Io for Parks {
    fn start(&self, start: crate::backend::Start, _: crate::backend::SpawnMode) -> Result<(), crate::backend::Refused> {
        start.run();
        Ok(())
    }
    fn operate(&self, _: crate::operation::Operation<'_>) -> io::Result<crate::operation::Output> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn now(&self) -> crate::Instant {
        crate::backend::monotonic_now()
    }
    fn random(&self, _: &mut [u8]) -> io::Result<()> {
        Ok(())
    }
    fn backend(&self) -> crate::Backend {
        crate::Backend { name: "parks", executors: 1, detail: String::new() }
    }
    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::Canceled;

    fn threads(pool: &BlockingPool) -> usize {
        pool.shared.state.lock().threads
    }

    #[test]
    fn values_and_panics_come_back() {
        let pool = BlockingPool::new("test", 2);
        assert_eq!(pool.run(&Parks, || 1 + 1).unwrap(), 2);
        let error = pool.run(&Parks, || panic!("no {}", "luck")).unwrap_err();
        assert_eq!(error.to_string(), "a job of the pool `test` panicked: no luck");
        let name = pool.run(&Parks, || thread::current().name().map(str::to_owned)).unwrap().unwrap();
        assert!(name.starts_with("test-"), "{name}");
    }

    #[test]
    fn jobs_beyond_the_limit_wait_in_order() {
        let pool = BlockingPool::new("test", 1);
        let order = Lock::new(Vec::new());
        let order = Arc::new(order);
        let (release, blocked) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let (began, begun) = mpsc::channel();
            let pool = &pool;
            scope.spawn(move || {
                pool.run(&Parks, move || {
                    began.send(()).unwrap();
                    blocked.recv().unwrap();
                })
            });
            begun.recv().unwrap();
            for index in 0..4 {
                let order = order.clone();
                scope.spawn(move || pool.run(&Parks, move || order.lock().push(index)));
                // Depends on a fact, not on time: the caller waits for the permit.
                while pool.shared.free.waiting() <= index {
                    thread::yield_now();
                }
            }
            assert_eq!(threads(pool), 1);
            release.send(()).unwrap();
        });
        assert_eq!(*order.lock(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_canceled_caller_leaves_a_job_that_goes_on() {
        let pool = BlockingPool::new("test", 1);
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(Lock::new(blocked));
        let (began, beginning) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let io: &dyn Io = &Parks;
        let moment = Duration::from_millis(1);
        // If the timeout is over before the job has a thread, the job is gone.
        while beginning.try_recv().is_err() {
            let (began, blocked, ended) = (began.clone(), blocked.clone(), ended.clone());
            let job = move || {
                began.send(()).unwrap();
                blocked.lock().recv().unwrap();
                ended.send(()).unwrap();
            };
            let result: io::Result<()> = io.timeout(moment, |io| pool.run(io, job));
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        let result = io.timeout(moment, |io| pool.run(io, || ()));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut, "the only thread is taken");
        release.send(()).unwrap();
        end.recv().unwrap();
        pool.run(io, || ()).unwrap();
        assert_eq!(threads(&pool), 1);
    }

    #[test]
    fn a_canceled_caller_without_a_thread_leaves_nothing() {
        let pool = BlockingPool::new("test", 1);
        let result: Result<(), _> = (&Parks as &dyn Io).timeout(Duration::ZERO, |io| {
            let error = pool.run(io, || unreachable!("it has no thread")).unwrap_err();
            Err(Canceled::from_error(error).unwrap())
        });
        assert!(matches!(result, Err(crate::WaitError::TimedOut(_))));
        assert_eq!((threads(&pool), pool.shared.free.available()), (0, 1));
    }

    #[test]
    fn a_borrowed_job_ends_before_its_caller_goes_on() {
        let pool = BlockingPool::new("test", 1);
        let mut log = Vec::new();
        for number in 0..3 {
            pool.run_to_end(&Parks, operation::Job::new(&mut || log.push(number))).unwrap();
        }
        assert_eq!(log, [0, 1, 2]);
        let mut panics = || -> () { resume_unwind(Box::new(log.len())) };
        let run = AssertUnwindSafe(|| pool.run_to_end(&Parks, operation::Job::new(&mut panics)));
        assert_eq!(*catch_unwind(run).unwrap_err().downcast::<usize>().unwrap(), 3);
        let mut never = || -> () { unreachable!("it has no thread") };
        let result: io::Result<()> =
            (&Parks as &dyn Io).timeout(Duration::ZERO, |io| pool.run_to_end(io, operation::Job::new(&mut never)));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// A panic whose destructor raises the next panic.
    struct Chain(u32);

    impl Drop for Chain {
        fn drop(&mut self) {
            if self.0 > 0 {
                resume_unwind(Box::new(Chain(self.0 - 1)));
            }
        }
    }

    #[test]
    fn a_job_whose_panic_panics_gives_its_thread_back() {
        let pool = BlockingPool::new("test", 1);
        for _ in 0..3 {
            pool.start(&Parks, || resume_unwind(Box::new(Chain(2)))).unwrap();
        }
        assert_eq!(pool.run(&Parks, || 1).unwrap(), 1);
        assert_eq!(threads(&pool), 1);
    }

    #[test]
    fn a_value_of_a_threads_own_does_not_pass_to_the_next_job() {
        crate::fiber_local!(static JOBS: std::cell::Cell<u32> = std::cell::Cell::new(0));
        let pool = BlockingPool::new("test", 1);
        for _ in 0..2 {
            assert_eq!(pool.run(&Parks, || JOBS.with(|jobs| jobs.replace(1))).unwrap(), 0);
        }
    }

    #[test]
    fn idle_threads_retire() {
        let pool = BlockingPool::with_idle_timeout("test", 2, Duration::from_millis(1));
        pool.run(&Parks, || ()).unwrap();
        while threads(&pool) > 0 {
            thread::yield_now();
        }
        pool.run(&Parks, || ()).unwrap();
    }
}
