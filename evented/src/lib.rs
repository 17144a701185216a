//! The io_uring fiber backend of iolite.
//!
//! A program picks a backend in `main`, through the facade `iolite`; this crate is what stands
//! behind `evented`. N executors, a thread and a ring each, run *fibers*: tasks on stacks of their
//! own, which give the thread to others while they wait. A fiber stays on the executor on which it
//! first ran; tasks that have not started may be taken by any executor.
//!
//! - [`Options`]: how many executors, tasks and bytes of stack.
//! - [`Evented::prepare`] and [`Prepared::run`]: a whole program, its main task on the calling
//!   thread. [`Evented::new`]: executors beside the threads of a program that is not iolite's.
//! - [`stack_use`]: how deep fibers have used their stacks.
//! - [`op`]: every operation of io_uring, with its own arguments.
//! - [`probe`]: whether io_uring can be used here, and why not.

#![warn(missing_debug_implementations)]

mod evented;
mod options;

mod io;
mod start;

pub mod op;

mod executor;

mod peers;
mod placement;
mod runtime;

mod remote;

mod admitted;
mod fiber;
mod run_queue;

mod ring;
mod sys;

mod abort;
mod primitive;

pub use evented::{Evented, Prepared};
pub use iolite_fibers::{StackUse, stack_use};
pub use options::Options;

/// Says whether io_uring can be used here.
///
/// # Errors
///
/// The cause, in words: the kernel lacks it or one of the operations, it is denied, or there is no
/// memory or no descriptor for a ring.
pub fn probe() -> std::io::Result<()> {
    ring::probe()
}
