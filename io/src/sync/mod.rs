//! Locks, channels and other ways to wait for each other, for every context: fibers, pool workers, plain
//! threads, of any backend.
//!
//! | to | use |
//! |---|---|
//! | change a value, one at a time | [`Mutex`]; [`ReentrantMutex`] if the holder locks again |
//! | read a value together, change it alone | [`RwLock`] |
//! | wait for a condition on what a mutex guards | [`Condvar`] |
//! | let a number in at once, or count what there is | [`Semaphore`] |
//! | tell many that something has happened | [`Event`] |
//! | tell one that there is something to do | [`Notify`] |
//! | wait for each other | [`Barrier`] |
//! | make a value once, or do something once | [`OnceLock`], [`LazyLock`]; [`Once`] |
//! | hand each item to one receiver | [`mpmc::channel`], with a bound, or as a rendezvous (capacity 0); [`mpmc::unbounded`] |
//! | hand over a single item | [`oneshot::channel`] |
//! | put and get many items at once | [`Queue`] |
//! | hand each item to every receiver | [`broadcast::channel`] |
//! | see the latest value | [`watch::channel`] |
//! | wait on a word of one's own, to build what is missing | [`mod@futex`] |
//!
//! Every blocking call comes in two forms: the plain one, which is a cancellation point also if it need not wait, and
//! `*_uncancelable`. Both panic inside [`no_suspend`](crate::no_suspend), also if they need not wait. A time limit is a
//! region around calls: [`io.timeout`](crate::Io#method.timeout). Calls that have a `try_*` form do not wait in it. All others never suspend,
//! dropping a guard or a handle included, and may be made from any thread.
//!
//! `on_recv` is the call `recv` as one of several things to [select](crate::Io#method.select) from, `on_wait` is `wait`, and
//! so on: [`mpmc::Receiver::on_recv`], [`Event::on_wait`].
//!
//! Waiters are served in the order in which they came, so nobody starves. Locks know no poison: a panic unlocks.
//!
//! All of them stand on one [wait queue](self): a waiter links a node of its own stack frame and parks, and
//! **whoever removes the node decides**. A waiter that gives up but cannot remove its node has been given what it
//! waited for, and keeps it. One that waits for many things has a node in each queue, and one choice, which whoever
//! would serve it decides first.

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
