//! Groups that stop at the first error of a member.

use std::fmt;
use std::sync::Arc;

use crate::Io;
use crate::cancel::Canceled;
use crate::context;
use crate::dropping::drop_quietly;
use crate::group::{Group, GroupShared, ScopedTask, run_to_end};
use crate::primitive::Lock;
use crate::runnable::{Parcel, SpawnError, SpawnErrorKind, SpawnMode, TaskOptions};
use crate::sealed::Token;
use crate::select::Selectable;
use crate::task::{Body, TaskBuilder, TaskIo, call_reporting, sealed};

/// A group whose first error cancels its other members and its body; from
/// [`io.try_group`](crate::Io#method.try_group).
pub struct TryGroup<'scope, 'env, E> {
    group: Group<'scope, 'env>,
    failure: Arc<Failure<E>>,
}

impl<E> fmt::Debug for TryGroup<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGroup").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'scope, E: Send + 'scope> TryGroup<'scope, '_, E> {
    /// Starts a member as [`Group::spawn_async`] does. Joining it returns `Canceled` if the member has failed.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A request to the caller also reaches a member that runs on top of it.
    ///
    /// # Panics
    ///
    /// See [`Group::spawn_async`].
    #[track_caller]
    pub fn spawn_async<F, T>(&self, closure: F) -> ScopedTask<'scope, Result<T, Canceled>>
    where
        F: FnOnce(&dyn Io) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        self.task().spawn(SpawnMode::Async, &mut parcel).expect("a task without options may run inline")
    }

    /// Starts a member as [`Group::spawn_concurrent`] does. Joining it returns `Canceled` if the member has failed.
    ///
    /// # Errors
    ///
    /// Returns an error if no unit of concurrency is free. The error hands the closure back.
    #[track_caller]
    pub fn spawn_concurrent<F, T>(&self, closure: F) -> Result<ScopedTask<'scope, Result<T, Canceled>>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        self.task().spawn_concurrent(closure)
    }

    /// Starts a member as [`Group::spawn_waiting`] does. Joining it returns `Canceled` if the member has failed.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of [`Group::spawn_waiting`]. The error hands the closure back.
    #[track_caller]
    pub fn spawn_waiting<F, T>(&self, closure: F) -> Result<ScopedTask<'scope, Result<T, Canceled>>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        self.task().spawn_waiting(closure)
    }

    /// Returns a builder for a member with a name, a stack size or a placement.
    pub fn task(&self) -> TaskBuilder<&Self> {
        TaskBuilder::new(self)
    }
}

impl<'scope, T, E> sealed::Spawn<'scope, Result<T, E>> for &TryGroup<'scope, '_, E>
where
    T: Send + 'scope,
    E: Send + 'scope,
{
    type Handle = ScopedTask<'scope, Result<T, Canceled>>;

    fn io(&self, _: Token) -> &dyn Io {
        &**self.group.io()
    }

    #[track_caller]
    fn spawn<F>(
        self,
        how: SpawnMode,
        options: Option<Box<TaskOptions>>,
        closure: &mut Parcel<F>,
        _: Token,
    ) -> Result<Self::Handle, SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> Result<T, E> + Send + 'scope,
    {
        let body = MayFail { io: self.group.io().clone(), failure: self.failure.clone() };
        self.group.start(how, options, context::inheritable_scopes(), body, closure)
    }
}

impl<E> TryGroup<'_, '_, E> {
    /// Returns a source that is ready once every member has ended; see [`Group::on_finish`]. A failure of the group
    /// cancels the wait, like every other wait of the body.
    pub fn on_finish(&self) -> impl Selectable<Output = ()> + '_ {
        self.group.on_finish()
    }

    /// Returns the number of members that have not ended.
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Returns true if every member has ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Records the first failure of a group and tears the group down.
struct Failure<E> {
    first: Lock<Option<E>>,
    group: Arc<GroupShared>,
}

impl<E> Failure<E> {
    fn fail(&self, error: E) {
        let mut first = self.first.lock();
        if first.is_some() {
            // Outside of the lock, because dropping it runs code of the program.
            drop(first);
            return drop(error);
        }
        *first = Some(error);
        drop(first);
        self.group.fail();
    }
}

/// The body of a member, which reports an error of its closure to the group.
struct MayFail<'a, E> {
    io: TaskIo<'a>,
    failure: Arc<Failure<E>>,
}

impl<F, T, E> Body<F, Result<T, Canceled>> for MayFail<'_, E>
where
    F: FnOnce(&dyn Io) -> Result<T, E>,
{
    fn call(self, closure: &mut Parcel<F>) -> Result<T, Canceled> {
        call_reporting(closure, &*self.io).map_err(|error| {
            self.failure.fail(error);
            Canceled::aborted()
        })
    }
}

impl<'io> dyn Io + 'io {
    /// Runs `body` with a group whose members may fail; otherwise works like [`group`](crate::Io#method.group).
    ///
    /// The first `Err` of a member cancels the other members and the body; from then on each of their cancellation
    /// points returns `Canceled`. When all members have ended, `try_group` returns that error, whatever the body
    /// returns. An `Err` of the body counts like that of a member.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// fn fetch_both(io: &dyn Io, hosts: [(&str, u16); 2]) -> std::io::Result<[TcpStream; 2]> {
    ///     io.try_group(|group| {
    ///         let both = hosts.map(|host| group.spawn_async(move |io| TcpStream::connect(io, host)));
    ///         let [first, second] = both.map(|member| member.join(io));
    ///         Ok([first?, second?]) // `Canceled` if a member has failed, but `try_group` returns that member's error
    ///     })
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// See [`group`](crate::Io#method.group).
    ///
    /// # Errors
    ///
    /// The first error in time, of the members and of the body.
    ///
    /// # Panics
    ///
    /// See [`group`](crate::Io#method.group).
    pub fn try_group<'env, T, E: Send + 'env>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope TryGroup<'scope, 'env, E>) -> Result<T, E>,
    ) -> Result<T, E> {
        run_scope(self, body)
    }
}

/// Runs `body` with a group that fails with its first error, and waits for the members.
fn run_scope<'env, T, E: Send + 'env>(
    io: &'env (dyn Io + 'env),
    body: impl for<'scope> FnOnce(&'scope TryGroup<'scope, 'env, E>) -> Result<T, E>,
) -> Result<T, E> {
    let group = Group::new(TaskIo::Borrowed(io));
    let failure = Arc::new(Failure { first: Lock::new(None), group: group.shared().clone() });
    let group = TryGroup { group, failure };
    // In place of the body: an error that is not the first is dropped, by the destructor of the program.
    let body = || body(&group).map_err(|error| group.failure.fail(error));
    let outcome = run_to_end(io, group.group.shared(), body, Result::is_err);
    let first = group.failure.first.lock().take();
    let outcome = match outcome {
        Ok(result) => Ok((first, result)),
        Err(panic) => {
            drop_quietly(first);
            Err(panic)
        }
    };
    match group.group.shared().or_panic(outcome) {
        (Some(error), result) => {
            drop(result);
            Err(error)
        }
        (None, result) => Ok(result.unwrap_or_else(|()| unreachable!("its error is the first, if no member's is"))),
    }
}
