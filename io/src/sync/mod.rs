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
//! | hand each item to one receiver | [`channel`], with a bound, or as a rendezvous (capacity 0); [`unbounded`] |
//! | hand over a single item | [`oneshot`] |
//! | put and get many items at once | [`Queue`] |
//! | hand each item to every receiver | [`broadcast()`] |
//! | see the latest value | [`watch()`] |
//! | wait on a word of one's own, to build what is missing | [`mod@futex`] |
//!
//! Every blocking call comes in three forms: plain, a cancellation point also when it need not wait;
//! `*_uncancelable`; and `*_deadline`. All three panic inside [`no_suspend`](crate::no_suspend), also when they need not
//! wait. Calls that have a `try_*` form do not wait in it. All others never suspend,
//! dropping a guard or a handle included, and may be made from any thread.
//!
//! The participle of a call ([`Receiver::on_recv`] for `recv`, [`Event::on_wait`] for `wait`) is that call as one of
//! many things to [wait for](crate::Io#method.select).
//!
//! Waiters are served in the order in which they came, so nobody starves. Locks know no poison: a panic unlocks.
//!
//! All of them stand on one [wait queue](self): a waiter links a node of its own stack frame and parks, and
//! **whoever removes the node decides**. A waiter that gives up but cannot remove its node has been given what it
//! waited for, and keeps it. One that waits for many things has a node in each queue, and one choice, which whoever
//! would serve it decides first.

mod condvar;
mod mutex;
mod reentrant;
mod rwlock;
mod semaphore;

mod barrier;
mod event;
mod notify;
mod once;

pub mod futex;

mod broadcast;
mod channel;
mod error;
mod queue;
mod watch;

mod choice;
mod forms;
mod permits;
mod queued;
mod wait;
mod wait_queue;

#[cfg(test)]
mod test;

pub(crate) use choice::Choice;

pub use barrier::{Barrier, BarrierWaitResult};
pub use broadcast::{BroadcastError, BroadcastReceiver, BroadcastSender, broadcast};
pub use channel::{OneshotSender, Receiver, SendPermit, Sender, channel, oneshot, unbounded};
pub use condvar::Condvar;
pub use error::{RecvError, SendError, SendErrorKind, TryRecvError};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use notify::{Notify, Registration};
pub use once::{LazyLock, Once, OnceLock};
pub use queue::Queue;
pub use reentrant::{ReentrantMutex, ReentrantMutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use watch::{WatchReceiver, WatchSender, watch};
