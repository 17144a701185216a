//! Locks, channels and other ways to wait for each other, for every context: fibers, pool workers, plain
//! threads, of any backend.
//!
//! | to | use |
//! |---|---|
//! | change a value, one at a time | [`Mutex`]; [`ReentrantMutex`] if the holder locks again |
//! | read a value together, change it alone | [`RwLock`] |
//! | wait for a condition on what a mutex guards | [`Condvar`] |
//! | admit a limited number at once, or count resources | [`Semaphore`] |
//! | tell many that something has happened | [`Event`] |
//! | tell one that there is something to do | [`Notify`] |
//! | wait for each other | [`Barrier`] |
//! | make a value once, or do something once | [`OnceLock`], [`LazyLock`]; [`Once`] |
//! | hand each item to one receiver | [`mpmc::channel`], with a bound, or as a rendezvous (capacity 0); [`mpmc::unbounded`] |
//! | hand over a single item | [`oneshot::channel`] |
//! | put and get many items at once | [`Queue`] |
//! | hand each item to every receiver | [`broadcast::channel`] |
//! | see the latest value | [`watch::channel`] |
//! | wait on an atomic word, to build another primitive | [`mod@futex`] |
//!
//! Every blocking call comes in two forms: the plain one, which is a cancellation point even if it does not have to
//! wait, and `*_uncancelable`. Both panic inside [`no_suspend`](crate::no_suspend), even if they do not have to wait.
//! [`io.timeout`](crate::Io#method.timeout) sets a time limit for a region of calls. `try_*` forms never wait.
//! All other calls, including the drop of a guard or a handle, never suspend and may be made from
//! any thread.
//!
//! `on_recv` is the call `recv` as a source for [`select`](crate::Io#method.select), `on_wait` is `wait`, and so on:
//! [`mpmc::Receiver::on_recv`], [`Event::on_wait`].
//!
//! Waiters are served in order of arrival, so none starves. Locks are not poisoned: a panic unlocks them.
//!
//! All primitives are built on one queue (`waiting/wait_queue.rs`): a waiter links a node of its own stack frame and parks, and
//! **the context that removes the node decides**. If a waiter gives up and its node is already gone, it was served, so
//! it keeps what it got. A waiter of `select` has a node in each queue and one choice; a context that serves it
//! decides the choice first.

mod acquire;
mod buffer_pool;
mod condvar;
mod mutex;
mod reentrant;
mod rwlock;

mod barrier;
mod event;
mod notify;
mod once;

pub mod futex;

pub mod broadcast;
mod error;
pub mod mpmc;
pub mod oneshot;
mod queue;
pub mod watch;

mod forms;
mod queued;
mod wait;

#[cfg(test)]
mod test;

pub use crate::waiting::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::Condvar;
pub use error::{RecvError, SendError, SendErrorKind, TryRecvError};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use notify::{Notify, Registration};
pub use once::{LazyLock, Once, OnceLock};
pub use queue::Queue;
pub use reentrant::{ReentrantMutex, ReentrantMutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
