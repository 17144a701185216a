//! The vocabulary of iolite: the [`Io`] trait, and all that a program or a library uses with it.
//!
//! Whoever does input or output is handed an `&dyn Io`. A library depends on this crate alone;
//! only `main` picks a backend, through the facade `iolite`.
//!
//! - Tasks: [`Io::spawn_async`](crate::Io#method.spawn_async) and its siblings, [`Task`]; groups
//!   whose members borrow from outside ([`Io::group`](crate::Io#method.group),
//!   [`Io::try_group`](crate::Io#method.try_group)), [`OwnedGroup`];
//!   [`TaskBuilder`] for a name, a stack size or a place.
//! - [`cancel`]: requests, points, protection, timeouts; [`CancellationToken`] for what nobody owns as a whole. Every call
//!   that can block is a cancellation point.
//! - [`select`]: waiting for many things at once, of which one comes.
//! - [`net`], [`fs`], [`stdio`], [`process`]: handles whose calls take `io`; [`signal`], [`time`]; [`sync`]: locks
//!   and channels that work between fibers, workers and plain threads, also of two backends at once.
//! - [`testing`]: `Io`s on which things go wrong, for tests of programs.
//! - [`backend`]: for those who implement an `Io`.

#![warn(missing_docs)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("iolite is for 64-bit Linux: its backends stand on io_uring, and on how Linux interrupts system calls");

// The bottom, on which everything below stands.
mod dropping;
mod explained;
mod list;
mod primitive;
mod sealed;
mod sys;

mod descriptor;
pub mod time;

// What parks: contexts, their tokens and scopes, the loop in which everything waits.
pub mod cancel;
mod context;
mod incomplete;
mod waiting;

// What is asked for, as data, and as system calls.
mod fd_watcher;
mod operation;
mod pool;
mod syscalls;

// Who is asked.
mod decorator;
mod io;
mod runnable;

// Waiting: timeouts and shields, one of many things, locks and channels.
mod scopes;
pub mod select;
pub mod sync;

// Tasks, and operations as tasks.
mod batch;
mod completion_queue;
mod dump;
mod error_chain;
mod group;
mod join_set;
mod offload;
mod task;
mod try_group;

// Handles.
mod copy;
pub mod fs;
pub mod net;
pub mod process;
pub mod signal;
pub mod stdio;
mod stream;

// What implementers need, and tests.
pub mod backend;
pub mod testing;

pub use batch::{Batch, BatchCompletion, Buffers};
pub use cancel::{Canceled, TimedOut, WaitError};
pub use completion_queue::{Completion, CompletionKind, CompletionQueue, OperationId};
pub use context::no_suspend;
pub use copy::{copy, copy_at_most};
pub use decorator::Decorator;
pub use descriptor::Descriptor;
pub use dump::{Dump, DumpedTask};
pub use error_chain::{ByConversion, ByForgetting, ErrorChain, IntoError};
pub use group::{Group, OwnedGroup, ScopedTask};
pub use incomplete::Incomplete;
pub use io::{Backend, Io};
pub use join_set::JoinSet;
pub use operation::{Attempt, Interest, Job, Operation, Output, SharedBytes};
pub use runnable::{ConcurrencyUnavailable, InvalidOption, Placement, ShutDown, SpawnError, SpawnErrorKind};
pub use scopes::{CancellationGuard, CancellationToken};
pub use select::{OneOf2, OneOf3, OneOf4, OneOf5, OneOf6, OneOf7, OneOf8, Selectable};
pub use stream::{BoundStream, ByteStream, OwnedStream};
pub use task::{FiberLocal, Spawner, Task, TaskBuilder};
pub use time::Instant;
pub use time::interval::{Interval, MissedTicks};
pub use try_group::TryGroup;
