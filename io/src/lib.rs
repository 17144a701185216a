//! The vocabulary of iolite: the trait [`Io`], and everything that programs and libraries use with it.
//!
//! A function that does I/O takes an `io: &dyn Io`. A library depends on this crate alone; only `main` picks a backend,
//! through the facade `iolite`.
//!
//! - Tasks: [`io.spawn_async`](crate::Io#method.spawn_async) and its siblings return a [`Task`]. The tasks of a
//!   [`Group`], a [`TryGroup`] or a [`JoinSet`] may borrow from outside of it. A [`TaskBuilder`] gives a task a name, a stack
//!   size or a place; see [`task`].
//! - [`cancel`]: requests, cancellation points, shields and timeouts. Every call that can block is a cancellation point. A
//!   [`CancellationToken`] cancels work that has no single owner.
//! - [`mod@select`]: waiting for the first of several things, also by the macro [`select!`].
//! - [`net`], [`fs`], [`stdio`], [`process`]: handles whose calls take `io`. [`stream`] has the adapters to std's
//!   `Read` and `Write`. [`signal`] waits for signals, and [`time`] has clocks and intervals.
//! - [`sync`]: locks and channels that work between fibers, workers and plain threads, also of two backends at once.
//! - [`operation`] and [`completion`]: operations as data, one by one, in a batch, or in a queue.
//! - [`testing`]: `Io`s on which things go wrong, for tests of programs.
//! - [`backend`]: for those who implement an `Io`.

#![warn(missing_debug_implementations, missing_docs)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("iolite is for 64-bit Linux: its backends stand on io_uring, and on how Linux interrupts system calls");

// The bottom layer, on which all other modules stand.
mod abort;
mod dropping;
mod explained;
mod list;
mod primitive;
mod sealed;
mod sys;

mod descriptor;
pub mod time;

// Parking: contexts, their tokens and scopes, and the loop in which everything waits.
pub mod cancel;
mod context;
mod incomplete;
mod waiting;

// Operations as data, and the system calls that perform them.
mod fd_watcher;
pub mod operation;
mod pool;
mod syscalls;

// The trait, and tasks on their way to a backend.
mod decorator;
mod io;
mod runnable;

// Waiting: timeouts and shields, selecting one of many, locks and channels.
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
pub mod task;
mod try_group;

// Handles.
mod copy;
pub mod fs;
pub mod net;
pub mod process;
pub mod signal;
pub mod stdio;
pub mod stream;

// For implementers, and for tests.
pub mod backend;
pub mod testing;

/// Several operations in flight at once: a scoped [`Batch`](completion::Batch), which borrows its buffers, and a
/// [`CompletionQueue`](completion::CompletionQueue), which owns them and has timers.
pub mod completion {
    pub use crate::batch::{Batch, BatchCompletion, Buffers};
    pub use crate::completion_queue::{Completion, CompletionKind, CompletionQueue, OperationId};
}

/// Errors that few programs name, and the conversion of an error with all its causes into one line of text.
///
/// `?` converts every error of this library into [`std::io::Error`], and so into `Box<dyn Error>` and `anyhow::Error`:
/// `Canceled`, `TimedOut`, `WaitError`, `SpawnError` and its kind, the errors of channels, and those of the bridge.
pub mod error {
    pub use crate::error_chain::{ByConversion, ByForgetting, IntoError};
    pub use crate::runnable::{ConcurrencyUnavailable, InvalidOption, ShutDown};
}

pub use cancel::{Canceled, TimedOut, WaitError};
pub use context::no_suspend;
pub use copy::{copy, copy_at_most};
pub use error_chain::ErrorChain;
pub use group::{Group, OwnedGroup, ScopedTask};
pub use incomplete::Incomplete;
pub use io::{Backend, Io};
pub use join_set::JoinSet;
pub use runnable::{SpawnError, SpawnErrorKind};
pub use scopes::{CancellationGuard, CancellationToken};
pub use task::{Task, TaskBuilder};
pub use time::Instant;
pub use time::interval::Interval;
pub use try_group::TryGroup;
