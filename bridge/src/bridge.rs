//! The handle of a bridge, which callers use.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use iolite_io::backend::explained;
use iolite_io::{Io, Task};

use crate::queue::{Carrier, Queue, Room};
use crate::shared::Shared;
use crate::worker::Seat;
use crate::{CallError, Metrics, PostError, PostErrorKind};

/// Bounded queues from any context to a pool of named threads that may block, each with a state of its own. See the
/// [crate's page](crate).
///
/// Dropping a bridge does not wait: its workers end when they have run all accepted jobs. [`close`](Self::close) waits
/// for them.
pub struct Bridge<S> {
    shared: Arc<Shared<S>>,
    /// The workers, until the bridge is closed.
    workers: Mutex<Vec<Task<()>>>,
}

impl<S: 'static> Bridge<S> {
    pub(crate) fn start(io: &dyn Io, shared: Shared<S>) -> io::Result<Self> {
        let workers = shared.keyed.len();
        let bridge = Self { shared: Arc::new(shared), workers: Mutex::default() };
        // Made before the first thread, so that a seat without a thread reports its failure when it is dropped.
        let seats: Vec<_> = (0..workers).map(|index| Seat::new(bridge.shared.clone(), index)).collect();
        let started = bridge.start_workers(io, seats);
        // A canceled start does not wait: dropping the bridge lets the workers end.
        bridge.shared.startup.done.wait(io)?;
        let failure = started.err().or_else(|| {
            let (worker, message) = bridge.shared.startup.failure()?;
            Some(io::Error::other(format!("bridge {}: worker {worker} has no state: {message}", bridge.name())))
        });
        match failure {
            None => Ok(bridge),
            Some(error) => {
                bridge.close(io);
                Err(error)
            }
        }
    }

    fn start_workers(&self, io: &dyn Io, seats: Vec<Seat<S>>) -> io::Result<()> {
        for (index, seat) in seats.into_iter().enumerate() {
            let name = format!("{}-{index}", self.name());
            // Shielded: the timeouts around the start must not apply to the worker.
            let task = io.shield(|io| io.spawn_thread(&name, |io| seat.work(io))).map_err(|error| {
                let error = io::Error::from(error.kind);
                explained(error.kind(), format!("bridge {}: no thread for {name}", self.name()), error)
            })?;
            self.lock_workers().push(task);
        }
        Ok(())
    }

    /// Runs `f` on some worker and waits for its result. `f` may borrow from the caller.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if nothing has to be waited for. If a request arrives while the job is queued, the
    /// call is canceled and the job never runs. If a request arrives while the job runs, the call waits for the job,
    /// and the request stays pending.
    ///
    /// # Errors
    ///
    /// [`CallError`] says why the call has no result.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](iolite_io::no_suspend).
    pub fn call<T: Send>(&self, io: &dyn Io, f: impl FnOnce(&mut S) -> T + Send) -> Result<T, CallError> {
        self.call_unkeyed(io, f, false)
    }

    /// Runs `f` as [`call`](Self::call) does, and returns only after the job was committed, so that the caller may
    /// acknowledge it.
    ///
    /// A worker runs the jobs that are waiting one after another; these are a *run*. All jobs of a run are committed together,
    /// by [`after_run`](crate::Builder::after_run) if there is one. So the call takes as long as all of them.
    ///
    /// ```
    /// use iolite_bridge::{Bridge, CallError};
    /// use iolite_io::Io;
    ///
    /// /// Stands for a database.
    /// #[derive(Default)]
    /// struct Store {
    ///     pending: Vec<String>,
    ///     durable: Vec<String>,
    /// }
    ///
    /// fn serve(io: &dyn Io) -> std::io::Result<()> {
    ///     let store = Bridge::builder("store")
    ///         .workers(1)
    ///         .state(|| Ok::<_, std::io::Error>(Store::default()))
    ///         .after_run(|store| -> std::io::Result<()> {
    ///             let Store { pending, durable } = store;
    ///             durable.append(pending); // may fail, and all callers of the run are told
    ///             Ok(())
    ///         })
    ///         .start(io)?;
    ///     store.call_committed(io, |store| store.pending.push("paid".into()))?;
    ///     assert_eq!(store.call(io, |store| store.durable.len())?, 1);
    ///     store.close(io);
    ///     Ok(())
    /// }
    ///
    /// use iolite_threaded::{Options, Threaded};
    /// Threaded::new(Options::default())?.run(serve)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Cancellation
    ///
    /// The same as for `call`. Once the job runs, the call waits for the commit as well.
    ///
    /// # Errors
    ///
    /// The same as for `call`; and [`CallError::NotCommitted`] if the job has run but the commit has failed, or another
    /// job of the run has panicked. In this case the value of `f` is dropped.
    ///
    /// # Panics
    ///
    /// The same as for `call`.
    pub fn call_committed<T: Send>(&self, io: &dyn Io, f: impl FnOnce(&mut S) -> T + Send) -> Result<T, CallError> {
        self.call_unkeyed(io, f, true)
    }

    fn call_unkeyed<T: Send>(
        &self,
        io: &dyn Io,
        f: impl FnOnce(&mut S) -> T + Send,
        wants_commit: bool,
    ) -> Result<T, CallError> {
        let shared = &*self.shared;
        let room = self.reserve_for_call(io, &shared.unkeyed)?;
        room.call(io, || shared.wake_for_shared(), f, wants_commit)
    }

    /// Runs `f` as [`call`](Self::call) does, on the worker of `key`: jobs of one key run in the order in which they
    /// were accepted.
    ///
    /// # Cancellation
    ///
    /// The same as for `call`.
    ///
    /// # Errors
    ///
    /// The same as for `call`.
    ///
    /// # Panics
    ///
    /// The same as for `call`.
    pub fn call_keyed<T: Send>(
        &self,
        io: &dyn Io,
        key: impl Hash,
        f: impl FnOnce(&mut S) -> T + Send,
    ) -> Result<T, CallError> {
        self.call_worker(io, self.worker_of(key), f, false)
    }

    /// Runs `f` as [`call_committed`](Self::call_committed) does, on the worker of `key`, as
    /// [`call_keyed`](Self::call_keyed) does.
    ///
    /// # Cancellation
    ///
    /// The same as for `call_committed`.
    ///
    /// # Errors
    ///
    /// The same as for `call_committed`.
    ///
    /// # Panics
    ///
    /// The same as for `call`.
    pub fn call_keyed_committed<T: Send>(
        &self,
        io: &dyn Io,
        key: impl Hash,
        f: impl FnOnce(&mut S) -> T + Send,
    ) -> Result<T, CallError> {
        self.call_worker(io, self.worker_of(key), f, true)
    }

    fn call_worker<T: Send>(
        &self,
        io: &dyn Io,
        worker: usize,
        f: impl FnOnce(&mut S) -> T + Send,
        wants_commit: bool,
    ) -> Result<T, CallError> {
        let shared = &*self.shared;
        let room = self.reserve_for_call(io, &shared.keyed[worker])?;
        room.call(io, || shared.wake_for_keyed(worker), f, wants_commit)
    }

    /// Queues `f` to run on some worker, without a result. Waits only for room in the queue.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is room. An accepted job runs.
    ///
    /// # Errors
    ///
    /// The closure, and the reason why it was not accepted.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](iolite_io::no_suspend).
    pub fn post<F>(&self, io: &dyn Io, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let room = match self.reserve_for_post(io, &self.shared.unkeyed) {
            Ok(room) => room,
            Err(kind) => return Err(PostError { closure: f, kind }),
        };
        room.post(f);
        self.shared.wake_for_shared();
        Ok(())
    }

    /// Queues `f` as [`post`](Self::post) does, on the worker of `key`: jobs of one key run in the order in which they
    /// were accepted.
    ///
    /// # Cancellation
    ///
    /// The same as for `post`.
    ///
    /// # Errors
    ///
    /// The same as for `post`.
    ///
    /// # Panics
    ///
    /// The same as for `post`.
    pub fn post_keyed<F>(&self, io: &dyn Io, key: impl Hash, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let worker = self.worker_of(key);
        let room = match self.reserve_for_post(io, &self.shared.keyed[worker]) {
            Ok(room) => room,
            Err(kind) => return Err(PostError { closure: f, kind }),
        };
        room.post(f);
        self.shared.wake_for_keyed(worker);
        Ok(())
    }

    /// Queues `f` as [`post`](Self::post) does if there is room. Never suspends.
    ///
    /// # Errors
    ///
    /// Those of `post`, and an error if the queue is full.
    pub fn try_post<F>(&self, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        match self.try_reserve(&self.shared.unkeyed) {
            Ok(room) => room.post(f),
            Err(kind) => return Err(PostError { closure: f, kind }),
        }
        self.shared.wake_for_shared();
        Ok(())
    }

    /// Queues `f` as [`try_post`](Self::try_post) does, on the worker of `key`.
    ///
    /// # Errors
    ///
    /// The same as for `try_post`.
    pub fn try_post_keyed<F>(&self, key: impl Hash, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let worker = self.worker_of(key);
        match self.try_reserve(&self.shared.keyed[worker]) {
            Ok(room) => room.post(f),
            Err(kind) => return Err(PostError { closure: f, kind }),
        }
        self.shared.wake_for_keyed(worker);
        Ok(())
    }

    /// Stops accepting jobs, runs those that were accepted, and waits until the workers have ended and dropped their
    /// states.
    ///
    /// # Cancellation
    ///
    /// A request does not end this call: the accepted jobs run, and the caller's next cancellation point returns the
    /// request.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](iolite_io::no_suspend), and if a job of this bridge calls it.
    pub fn close(&self, io: &dyn Io) {
        assert!(
            !self.shared.wakes.is_worker(),
            "a job of the bridge {} closes the same bridge and would wait for itself; it may call request_close",
            self.name(),
        );
        self.request_close();
        // All callers wait until the workers have ended.
        self.shared.ended.wait_uncancelable(io);
        let workers = mem::take(&mut *self.lock_workers());
        workers.into_iter().for_each(|worker| worker.join(io));
    }

    /// Stops accepting jobs and does not wait for the workers to end.
    pub fn request_close(&self) {
        self.shared.close();
    }

    /// Returns counts of the bridge's work so far.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Returns the name of the bridge.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    fn reserve_for_call<'a, C: Carrier>(
        &self,
        io: &dyn Io,
        queue: &'a Queue<S, C>,
    ) -> Result<Room<'a, S, C>, CallError> {
        io.check_cancel()?;
        if self.shared.wakes.is_worker() {
            return Err(CallError::WouldDeadlock);
        }
        self.unless_closed(queue.reserve(io)?).ok_or(CallError::Closed)
    }

    fn reserve_for_post<'a, C: Carrier>(
        &self,
        io: &dyn Io,
        queue: &'a Queue<S, C>,
    ) -> Result<Room<'a, S, C>, PostErrorKind> {
        io.check_cancel()?;
        if self.shared.wakes.is_worker() {
            return self.try_reserve(queue).map_err(|kind| match kind {
                PostErrorKind::Full => PostErrorKind::WouldDeadlock,
                kind => kind,
            });
        }
        self.unless_closed(queue.reserve(io)?).ok_or(PostErrorKind::Closed)
    }

    fn try_reserve<'a, C: Carrier>(&self, queue: &'a Queue<S, C>) -> Result<Room<'a, S, C>, PostErrorKind> {
        match queue.try_reserve() {
            Some(room) => self.unless_closed(room).ok_or(PostErrorKind::Closed),
            None if self.shared.is_closed() => Err(PostErrorKind::Closed),
            None => Err(PostErrorKind::Full),
        }
    }

    /// Returns the room unless the bridge is closed. The caller must hold the room when it checks: see
    /// [`Shared::close`].
    fn unless_closed<'a, C: Carrier>(&self, room: Room<'a, S, C>) -> Option<Room<'a, S, C>> {
        if !self.shared.is_closed() {
            return Some(room);
        }
        drop(room);
        self.shared.room_refused();
        None
    }

    /// Returns the worker of a key. It is the same for the same key in every process.
    fn worker_of(&self, key: impl Hash) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let workers = self.shared.keyed.len() as u128;
        // The high bits of the product of a 64-bit number and `workers` are below `workers`.
        #[allow(clippy::cast_possible_truncation)]
        let worker = ((u128::from(hasher.finish()) * workers) >> 64) as usize;
        worker
    }

    fn lock_workers(&self) -> std::sync::MutexGuard<'_, Vec<Task<()>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Bridge<S> {
    fn drop(&mut self) {
        self.shared.close();
        let workers = self.workers.get_mut().unwrap_or_else(PoisonError::into_inner);
        workers.drain(..).for_each(Task::detach);
    }
}

impl<S> fmt::Debug for Bridge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { name, keyed, .. } = &*self.shared;
        f.debug_struct("Bridge").field("name", name).field("workers", &keyed.len()).finish_non_exhaustive()
    }
}
