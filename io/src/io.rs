//! The `Io` trait: the narrow waist between programs and backends.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::backend::{Refused, Report, SpawnMode, Start, TaskRef, Ticket};
use crate::batch::{self, Batch};
use crate::cancel::{Canceled, CarriesCanceled, TimedOut};
use crate::context;
use crate::dump::Dump;
use crate::error::SpawnError;
use crate::group::{self, Group};
use crate::interval::Interval;
use crate::join_set::{self, JoinSet};
use crate::multishot::Multishot;
use crate::operation::{Job, Operation, Output};
use crate::select::{self, Selectable};
use crate::task::{Parcel, Task, TaskBuilder};
use crate::time::{self, Clock, Instant};
use crate::try_group::{self, TryGroup};

/// What performs a program's input and output and runs its tasks.
///
/// A program is handed an `&dyn Io` and hands it on; it never asks for one. What it calls are
/// mostly the conveniences on `dyn Io` below and the types of [`crate::net`], [`crate::fs`] and
/// [`crate::sync`], all of which are written once, on the methods of this trait.
///
/// # For implementers
///
/// A backend performs operations and starts tasks; a [`Decorator`](crate::Decorator) passes them on to
/// another `Io` and does something beside. The trait is safe to implement: nothing that is memory safe depends
/// on what an implementation does. What it must do to be *useful*:
///
/// - [`operate`](Self::operate) is a cancellation point: it asks
///   [`Context::check_operation`](crate::backend::Context::check_operation) before it begins, gives up when a request
///   arrives meanwhile, and reports a success even if it was being canceled, after
///   [`Context::recancel`](crate::backend::Context::recancel). Only an attempt is none
///   ([`Operation::is_point`](crate::Operation::is_point)).
/// - [`park`](Self::park) blocks the *calling* context, whatever that is, and may return early.
/// - [`start`](Self::start) runs every [`Start`] it accepts, also during shutdown.
/// - A panic out of `park`, `yield_now` or `now` during a wait ends the process: waiters are linked from their
///   stack frames.
pub trait Io: Send + Sync {
    /// Starts a task with what it asks for ([`Start::options`]), or gives it back.
    ///
    /// # Cancellation
    ///
    /// A cancellation point for [`SpawnMode::Waiting`] while it waits.
    ///
    /// # Errors
    ///
    /// The start and the reason, when it cannot run in the wanted way.
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused>;

    /// Begins the task that this `Io` has [offered](Start::offer) under `ticket`, on the calling context,
    /// which joins it and would otherwise wait: as an inline child on top of itself, which saves the
    /// way to another context and back. Does nothing when the task was begun already, is not this
    /// `Io`'s, or must not run on this context.
    fn try_run_inline(&self, ticket: Ticket) {
        let _ = ticket;
    }

    /// Performs one operation and waits for its end.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The operation's, with its errno; or [`Canceled`].
    fn operate(&self, operation: Operation<'_>) -> io::Result<Output>;

    /// What performs one operation that answers many times, where this `Io` has such a thing. Who
    /// is given none performs single operations, which come to the same; so a decorator
    /// that passes only [`operate`](Self::operate) on sees each of them.
    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        None
    }

    /// Blocks the calling context until its token arrives ([`crate::backend::Unparker`]) or the
    /// deadline passes. May return early. Not a cancellation point by itself.
    fn park(&self, deadline: Option<Instant>) {
        context::park(deadline);
    }

    /// Lets other tasks run. Not a cancellation point.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](crate::no_suspend).
    fn yield_now(&self) {
        context::yield_now();
    }

    /// The time of the monotonic clock.
    fn now(&self) -> Instant;

    /// The time that a clock shows, since its beginning: the system's, unless an implementation has others. It
    /// agrees with [`now`](Self::now).
    fn time(&self, clock: Clock) -> Duration {
        clock.read()
    }

    /// Fills `bytes` with random bytes that are fit for cryptography.
    ///
    /// # Errors
    ///
    /// Where the system has no source of randomness.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// The tasks that it has started and that have not ended, as far as it knows them; for `dump`.
    /// Those that wait for their turn, and those on top of others, may be missing.
    fn tasks(&self) -> Vec<TaskRef> {
        Vec::new()
    }

    /// Where it reports what nobody waits for, one line at a time; `None` where nobody listens. To be called through
    /// [`tell`](crate::backend::tell). Each panic of a task is told there, with the task's name and the place where it was
    /// started.
    fn report(&self) -> Option<Report> {
        None
    }

    /// Which backend this is, with the features in use.
    fn backend(&self) -> Backend;

    /// This very `Io`, to be kept; `None` for a decorator that borrows another.
    fn handle(&self) -> Option<Arc<dyn Io>>;
}

/// The name of a backend and what it uses; prints like `evented(io_uring: defer-taskrun, ext-arg)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// `threaded`, `evented` or another implementation's name.
    pub name: &'static str,
    /// How many executors a task can be placed on ([`Placement`](crate::Placement)): 1 where there
    /// is nothing to choose.
    pub executors: usize,
    /// The kernel interfaces and features in use, and the size of the backend.
    pub detail: String,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.detail)
    }
}

impl fmt::Debug for dyn Io + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dyn Io {}", self.backend())
    }
}

impl<'io> dyn Io + 'io {
    /// Starts a task that may run on top of the caller: order does not matter. It does so at once when no
    /// unit of concurrency is free, and in its [`join`](Task::join), on top of who joins, when nobody has
    /// begun it by then. The closure is handed the [`handle`](Io::handle) of this `Io`; where there is
    /// none, it runs inline.
    ///
    /// What the closure owns and what it returns is moved, and each takes several times its size of the stacks of caller and
    /// task in a build without optimization. So put what is larger than 16 KiB into a [`Box`], or ask for a
    /// [larger stack](crate::TaskBuilder::stack_size): this holds for every way to start a task.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. What is requested of the caller reaches the task that runs on top of it too.
    ///
    /// # Panics
    ///
    /// When inline tasks nest deeper than 40 (a recursion through `spawn_async` without a free
    /// unit). A panic of the closure goes to who joins, also if it ran inline.
    #[track_caller]
    pub fn spawn_async<F, T>(&self, closure: F) -> Task<T>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut parcel = Parcel::of(closure);
        self.task().spawn(SpawnMode::Async, &mut parcel).expect("what asks for nothing may run inline")
    }

    /// Starts a task that makes progress beside the caller.
    ///
    /// # Errors
    ///
    /// When no unit of concurrency is free; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_concurrent<F, T>(&self, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.task().spawn(SpawnMode::Concurrent, &mut parcel);
        parcel.unless_refused(started)
    }

    /// Waits for a unit of concurrency, then starts a task that makes progress beside the caller.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// When the caller is canceled, the runtime shuts down, or the system gives no thread; the
    /// closure comes back in the error.
    #[track_caller]
    pub fn spawn_waiting<F, T>(&self, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task().spawn_waiting(closure)
    }

    /// Starts a task on an operating-system thread of its own, named `name`, which it may block
    /// with calls that know nothing of `Io`. Calls through `io` work there as everywhere.
    ///
    /// # Errors
    ///
    /// When the system gives no thread; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_thread<F, T>(&self, name: &str, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task().name(name).spawn_thread(closure)
    }

    /// The tasks that have begun and have not ended, by their names, and which of them were asked to stop: for who
    /// looks for the one that a join or a shutdown waits for. Never waits for a task, also where one computes and
    /// lets no other run.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::Io;
    ///
    /// /// Lets a peer go; says who is still there when that takes long.
    /// fn stop(io: &dyn Io, session: iolite_io::Task<()>) -> std::io::Result<()> {
    ///     session.request_cancel();
    ///     let deadline = io.now() + Duration::from_secs(5);
    ///     let mut session = session;
    ///     if let iolite_io::OneOf2::Second(()) = io.select((session.on_finish(), deadline))? {
    ///         eprint!("a session does not end:\n{}", io.dump());
    ///     }
    ///     session.join(io);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Tasks that wait for their turn may be missing, and so may those that run on top of others. A runtime that shuts
    /// down tells by itself which tasks it waits for, after its `shutdown_grace`.
    pub fn dump(&self) -> Dump {
        Dump::of(&self.tasks())
    }

    /// A task that asks for a name, a stack size or a place, about to be started.
    pub fn task(&self) -> TaskBuilder<&(dyn Io + 'io)> {
        TaskBuilder::new(self)
    }

    /// Runs `body` with a group of tasks that may borrow from outside of it, and returns when all
    /// of them have ended. The body's value is always returned.
    ///
    /// When the body returns an error or panics, the members are canceled, for good. When it succeeds they are waited
    /// for, however long they go on: to stop them with success, [cancel](Group::cancel) before.
    ///
    /// # Cancellation
    ///
    /// The final wait is not ended by a request to the caller: it is copied to the members, and
    /// the caller's next cancellation point returns it.
    ///
    /// # Errors
    ///
    /// The body's.
    ///
    /// # Panics
    ///
    /// Resumes the body's panic, or else the first panic of a member whose handle was dropped. The other members and the
    /// body are canceled when that one panics, for good, so that the scope ends. A group whose members' panics are theirs
    /// alone [contains](Group::contain_panics) them.
    pub fn group<'env, T, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope Group<'scope, 'env>) -> Result<T, E>,
    ) -> Result<T, E> {
        group::run_scope(self, body)
    }

    /// As [`group`](crate::Io#method.group), with members that may fail: at the first `Err` of a member
    /// the others and the body are canceled, for good, and when all have ended that error is returned,
    /// whatever the body returns. An `Err` of the body counts like a member's.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// fn fetch_both(io: &dyn Io, hosts: [(&str, u16); 2]) -> std::io::Result<[TcpStream; 2]> {
    ///     io.try_group(|group| {
    ///         let both = hosts.map(|host| group.spawn_async(move |io| TcpStream::connect(io, host)));
    ///         let [first, second] = both.map(|member| member.join(io));
    ///         Ok([first?, second?]) // `Canceled`, where a member has failed: not what `try_group` returns
    ///     })
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// As [`group`](crate::Io#method.group).
    ///
    /// # Errors
    ///
    /// The first, in time, of the members' and the body's.
    ///
    /// # Panics
    ///
    /// As [`group`](crate::Io#method.group).
    pub fn try_group<'env, T, E: Send + 'env>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope TryGroup<'scope, 'env, E>) -> Result<T, E>,
    ) -> Result<T, E> {
        try_group::run_scope(self, body)
    }

    /// Runs `body` with tasks whose results it takes as they come, and returns when all of them have
    /// ended. A scope like [`group`](crate::Io#method.group); results that nobody takes are dropped.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// /// The first that answers; the others are stopped.
    /// fn fastest(io: &dyn Io, mirrors: &[(String, u16)]) -> std::io::Result<Option<TcpStream>> {
    ///     io.join_set(|set| {
    ///         for (host, port) in mirrors {
    ///             set.spawn_waiting(io, |io| TcpStream::connect(io, (host.as_str(), *port)))?;
    ///         }
    ///         while let Some(connected) = set.next(io)? {
    ///             if let Ok(stream) = connected {
    ///                 set.cancel(io); // what connected meanwhile is returned, dropped, and so closed
    ///                 return Ok(Some(stream));
    ///             }
    ///         }
    ///         Ok(None)
    ///     })
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// As [`group`](crate::Io#method.group).
    ///
    /// # Errors
    ///
    /// The body's.
    ///
    /// # Panics
    ///
    /// As [`group`](crate::Io#method.group).
    pub fn join_set<'env, T: Send + 'env, R, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope JoinSet<'scope, 'env, T>) -> Result<R, E>,
    ) -> Result<R, E> {
        join_set::run_scope(self, body)
    }

    /// Runs `body` with a batch of operations, then cancels those that are still under way, and returns when
    /// all have ended. The batch lends the buffers of its operations for that time.
    ///
    /// ```
    /// use iolite_io::{Io, Buffers, Operation, Output, fs::File};
    ///
    /// /// Reads pages of a file, eight at a time, in whatever order they come.
    /// fn checksum(io: &dyn Io, file: &File, pages: u64) -> std::io::Result<u64> {
    ///     let mut buffers = [[0; 4096]; 8];
    ///     io.batch(|batch| {
    ///         let (mut next, mut sum) = (0, 0);
    ///         let mut read = |index, buffer| {
    ///             if next < pages {
    ///                 let offset = Some(next * 4096);
    ///                 batch.add(index, Operation::Read { file: file.as_ref(), buffer, memory: None, offset });
    ///                 next += 1;
    ///             }
    ///         };
    ///         for (index, buffer) in buffers.iter_mut().enumerate() {
    ///             read(index, buffer);
    ///         }
    ///         while !batch.is_empty() {
    ///             batch.wait(io)?;
    ///             while let Some(completion) = batch.next() {
    ///                 if let (Output::Count(count), Buffers::Buffer(page)) = (completion.result?, completion.lent) {
    ///                     sum += page[..count].iter().map(|byte| u64::from(*byte)).sum::<u64>();
    ///                     read(completion.index, page);
    ///                 }
    ///             }
    ///         }
    ///         Ok(sum)
    ///     })
    /// }
    /// ```
    ///
    /// What was read is written from the same buffer by [`Batch::add_write`] or [`Batch::add_send`], and the buffer
    /// comes back once more: `examples/copy.rs` copies a file so.
    ///
    /// # Cancellation
    ///
    /// The final wait is not ended by a request to the caller, whose next cancellation point returns it.
    ///
    /// # Errors
    ///
    /// The body's.
    pub fn batch<'env, T, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope Batch<'scope, 'env>) -> Result<T, E>,
    ) -> Result<T, E> {
        batch::run_scope(self, body)
    }

    /// Runs a closure that may block its thread: a long computation, a call that knows nothing of `Io`. No executor
    /// stands still meanwhile.
    ///
    /// A fiber has it run by a thread of a bounded pool; who has a thread, runs it there. What it calls through
    /// an `Io` is not canceled with the caller.
    ///
    /// ```
    /// use iolite_io::Io;
    ///
    /// fn checksum(io: &dyn Io, bytes: &[u8]) -> std::io::Result<u32> {
    ///     io.offload(|| bytes.iter().fold(0, |sum: u32, byte| sum.rotate_left(5) ^ u32::from(*byte)))
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point while it waits for a thread; the closure is dropped unrun then. Once it has begun, its end is
    /// waited for, and its value returned.
    ///
    /// # Errors
    ///
    /// [`Canceled`]; when the system gives no thread, or the runtime has shut down. The closure has
    /// not run then.
    ///
    /// # Panics
    ///
    /// Resumes the closure's panic.
    pub fn offload<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> io::Result<T> {
        let (mut closure, mut value) = (Some(closure), None);
        let mut job = || value = closure.take().map(|closure| closure());
        self.operate(Operation::Offload { job: Job::new(&mut job) })?.done()?;
        value.ok_or_else(|| io::Error::other("the Io said that it had run the closure, and has not"))
    }

    /// A bare cancellation point. Never waits; lets others run now and then, as every point does that need not wait.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, and nothing else.
    ///
    /// # Errors
    ///
    /// [`Canceled`] when the task was asked to stop or a timeout around it has passed.
    ///
    /// # Panics
    ///
    /// As every cancellation point, inside [`no_suspend`](crate::no_suspend).
    #[inline]
    pub fn check_cancel(&self) -> Result<(), Canceled> {
        context::current(|context| context.check(self))
    }

    /// Takes a delivered request back: the next cancellation point returns it again.
    pub fn recancel(&self, canceled: Canceled) {
        context::current(|context| context.recancel(canceled));
    }

    /// Runs `f` shielded from requests that come from outside of it: they wait and are delivered
    /// after it. A timeout opened inside it fires. Nests.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// /// Says goodbye, also when this task was told to end; but not for longer than a second.
    /// fn leave(io: &dyn Io, stream: &TcpStream) -> std::io::Result<()> {
    ///     io.shield(|io| io.timeout(Duration::from_secs(1), |io| stream.write_all(io, b"bye\n")))
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; what is inside of it are points that no request from outside reaches.
    pub fn shield<T>(&self, f: impl FnOnce(&dyn Io) -> T) -> T {
        context::current(|context| {
            let _guard = context.push_shield();
            f(self)
        })
    }

    /// Runs `f`, in which cancellation points return [`Canceled`], once, when `duration` is over,
    /// as they do in the tasks started within it.
    ///
    /// An `Ok` always wins. An error becomes [`TimedOut`](crate::TimedOut) only if it carries the request of this
    /// very timeout; so nested timeouts, and a cancellation from outside, are told apart. A closure in which `?` meets
    /// several errors says which is its own, as with `io::Result::Ok` here:
    ///
    /// ```
    /// use std::{io, time::Duration};
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// fn ask(io: &dyn Io, question: &[u8]) -> io::Result<Vec<u8>> {
    ///     io.timeout(Duration::from_secs(5), |io| {
    ///         let stream = io.timeout(Duration::from_secs(1), |io| TcpStream::connect(io, "oracle.example:4000"))?;
    ///         stream.write_all(io, question)?;
    ///         let mut answer = Vec::new();
    ///         stream.read_to_end(io, &mut answer)?;
    ///         io::Result::Ok(answer)
    ///     })
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point itself: nothing ends before `f` comes to one, which is why a timeout never stops a
    /// computation.
    ///
    /// # Errors
    ///
    /// `f`'s, or the error's form of `TimedOut` (for [`io::Error`],
    /// [`ErrorKind::TimedOut`](io::ErrorKind::TimedOut), with the [`Incomplete`](crate::Incomplete) of `f`'s
    /// error, if it had one).
    pub fn timeout<T, E: CarriesCanceled>(
        &self,
        duration: Duration,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<T, E::OrTimedOut> {
        self.timeout_at(self.now() + duration, f)
    }

    /// As [`timeout`](crate::Io#method.timeout), with the instant at which the time is over.
    ///
    /// # Cancellation
    ///
    /// As `timeout`.
    ///
    /// # Errors
    ///
    /// As `timeout`.
    pub fn timeout_at<T, E: CarriesCanceled>(
        &self,
        deadline: Instant,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<T, E::OrTimedOut> {
        context::current(|context| {
            let (id, guard) = context.push_timeout(deadline);
            let result = f(self);
            drop(guard);
            result.map_err(|error| {
                if error.canceled().is_some_and(|canceled| canceled.is_from(id)) {
                    error.into_timed_out()
                } else {
                    error.into_or_timed_out()
                }
            })
        })
    }

    /// As [`timeout`](crate::Io#method.timeout), for errors that nobody can look into: those of other crates, such as
    /// `anyhow`'s, and text. Two `?` take the result apart, as after a timeout of tokio.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use anyhow::Context;
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// fn ask(io: &dyn Io, question: &[u8]) -> anyhow::Result<String> {
    ///     let stream = TcpStream::connect(io, "oracle.example:4000").context("connecting")?;
    ///     stream.write_all(io, question).context("asking")?;
    ///     let mut answer = Vec::new();
    ///     stream.read_to_end(io, &mut answer).context("listening")?;
    ///     Ok(String::from_utf8(answer)?)
    /// }
    ///
    /// fn ask_for_a_second(io: &dyn Io, question: &[u8]) -> anyhow::Result<String> {
    ///     let answer = io.timeout_any(Duration::from_secs(1), |io| ask(io, question)).context("asking the oracle")??;
    ///     Ok(answer)
    /// }
    /// ```
    ///
    /// Since it cannot look into the error, it goes by what has happened: `f` has failed, and before that the request of
    /// this very timeout had reached it, or a task that was started in it. `f`'s error is then dropped.
    ///
    /// # Cancellation
    ///
    /// As `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`]: a cancellation point in `f` has returned [`Canceled`] because the time was over, which was not handed
    /// back, and `f` has failed. Every other result of `f` is in the `Ok`, a failure without such a request included, also
    /// one after that time.
    pub fn timeout_any<T, E>(
        &self,
        duration: Duration,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<Result<T, E>, TimedOut> {
        self.timeout_any_at(self.now() + duration, f)
    }

    /// As [`timeout_any`](crate::Io#method.timeout_any), with the instant at which the time is over.
    ///
    /// # Cancellation
    ///
    /// As `timeout`.
    ///
    /// # Errors
    ///
    /// As `timeout_any`.
    pub fn timeout_any_at<T, E>(
        &self,
        deadline: Instant,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<Result<T, E>, TimedOut> {
        context::current(|context| {
            let (id, _guard) = context.push_timeout(deadline);
            match f(self) {
                Err(_) if context.has_delivered(id) => Err(TimedOut),
                result => Ok(result),
            }
        })
    }

    /// Waits for `duration`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a canceled sleep never reports success.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn sleep(&self, duration: Duration) -> Result<(), Canceled> {
        self.sleep_until(self.now() + duration)
    }

    /// Waits until `deadline`. If it has passed, lets others run once, as [`yield_now`](Io::yield_now) does.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn sleep_until(&self, deadline: Instant) -> Result<(), Canceled> {
        self.check_cancel()?;
        match context::wait(self, Some(deadline), || false) {
            Ok(()) | Err(context::WaitEnd::TimedOut) => Ok(()),
            Err(context::WaitEnd::Canceled(canceled)) => Err(canceled),
        }
    }

    /// Waits until `clock` shows `time`, also when it is set meanwhile, or goes on while the machine is suspended;
    /// returns at once if that has passed. Takes a descriptor for as long as it waits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::{Io, time::Clock};
    ///
    /// fn until_the_next_minute(io: &dyn Io) -> std::io::Result<()> {
    ///     let minutes = io.time(Clock::Real).as_secs() / 60;
    ///     io.sleep_until_time(Clock::Real, Duration::from_secs((minutes + 1) * 60))
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`Canceled`]; [`io::ErrorKind::InvalidInput`] for the clocks of used time; when no descriptor is left.
    pub fn sleep_until_time(&self, clock: Clock, time: Duration) -> io::Result<()> {
        time::sleep_until_time(self, clock, time)
    }

    /// The time of day.
    pub fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.time(Clock::Real)
    }

    /// Waits for one of several things and takes it, and nothing of the others; of those that are there, the first.
    /// See [`select`](mod@crate::select) for what can be waited for.
    ///
    /// ```
    /// use iolite_io::{Canceled, Io, sync::{RecvError, mpmc::Receiver}};
    ///
    /// /// The next job of the most urgent queue that has one, and which queue that is.
    /// fn next(io: &dyn Io, queues: &[Receiver<String>; 3]) -> Result<(usize, String), RecvError> {
    ///     let (queue, job) = io.select(queues.each_ref().map(Receiver::on_recv))?;
    ///     Ok((queue, job?))
    /// }
    /// ```
    ///
    /// From any context. Without a source it waits for a cancellation.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when something is there. A canceled wait has taken nothing; what was handed over
    /// is returned nevertheless.
    ///
    /// # Errors
    ///
    /// [`Canceled`]. What the source says, its output says.
    pub fn select<S: Selectable>(&self, source: S) -> Result<S::Output, Canceled> {
        select::select(self, source)
    }

    /// Ticks every `period`, the first of them now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::{Canceled, Io, MissedTicks};
    ///
    /// fn beat(io: &dyn Io) -> Result<(), Canceled> {
    ///     let mut beats = io.interval(Duration::from_secs(1)).missed_ticks(MissedTicks::Skip);
    ///     loop {
    ///         beats.tick(io)?;
    ///         println!("beat");
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// When `period` is zero.
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(self.now(), period)
    }
}
