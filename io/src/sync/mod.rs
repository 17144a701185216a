//! Locks and channels for every context: fibers, pool workers, plain threads, of any backend.
//!
//! All of them stand on one wait queue ([`queue`](self)): a waiter links a node of its own stack
//! frame and parks, and **whoever removes the node decides**. A waiter that gives up but cannot
//! remove its node has been given what it waited for, and keeps it or passes it on.
//!
//! Every blocking call comes in three forms: plain, a cancellation point; `*_uncancelable`; and
//! `*_deadline`. Waiters are served in the order in which they came.

mod channel;
mod event;
mod mutex;
mod permits;
mod primitive;
mod queue;
mod semaphore;

pub use channel::{Receiver, RecvError, SendError, SendErrorKind, Sender, TryRecvError, channel};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Semaphore, SemaphorePermit};
