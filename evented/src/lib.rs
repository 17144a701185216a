//! The io_uring fiber backend of iolite.
//!
//! A program picks a backend in `main`, through the facade `iolite`; this crate implements `evented`. Each of N
//! executors has a thread and a ring, and runs *fibers*: tasks on stacks of their own, which let other fibers have the
//! thread while they wait. A fiber stays on the executor on which it first ran. Any executor may take tasks that have
//! not started.
//!
//! - [`Options`]: the limits of executors, tasks and bytes of stack.
//! - [`Evented::prepare`] and [`Prepared::run`]: a whole program, with its main task on the calling thread.
//!   [`Evented::new`]: executors beside threads that iolite does not manage.
//! - [`stack_use`]: how deep fibers have used their stacks.
//! - [`op`]: every operation of io_uring, with its own arguments.
//! - [`probe`]: checks that io_uring can be used here.

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

mod primitive;

pub use evented::{Evented, Prepared};
pub use iolite_fibers::{StackUse, stack_use};
pub use options::Options;

/// Checks that io_uring can be used here.
///
/// If there is no memory for a ring, but this process has closed one within the last second, it waits for that memory, up
/// to 2 s. On a fiber, other fibers run meanwhile; in [`no_suspend`](iolite_io::no_suspend) it does not wait.
///
/// # Errors
///
/// An error with the cause in words: the kernel does not have io_uring or one of the operations, it is denied, or there
/// is no memory or no descriptor for a ring.
pub fn probe() -> std::io::Result<()> {
    ring::probe()
}
