//! Bounded lock-free queues from fibers to pools of threads that may block.
//!
//! A fiber must not block its executor, but a database client, a C library or a CPU-heavy function always does. A
//! [`Bridge`] is a pool of named worker threads, each with a state of its own, for instance a connection. Any context
//! can give it jobs: fibers, tasks of every backend, and plain threads. [`call`](Bridge::call) waits for the result
//! while the executor runs other tasks. [`post`](Bridge::post) does not wait for the job. If the queue is full, both
//! wait for room.
//!
//! ```
//! use iolite_bridge::Bridge;
//! use iolite_io::Io;
//!
//! /// Stands for a connection to a database.
//! #[derive(Default)]
//! struct Connection {
//!     pending: Vec<u32>,
//!     committed: Vec<u32>,
//! }
//!
//! fn store(io: &dyn Io) -> std::io::Result<()> {
//!     let database = Bridge::builder("database")
//!         .workers(1)
//!         .queue_capacity(64)
//!         .state(|| Ok::<_, std::io::Error>(Connection::default()))
//!         .after_run(|connection| {
//!             // One commit for all jobs of a run.
//!             let pending = std::mem::take(&mut connection.pending);
//!             connection.committed.extend(pending);
//!         })
//!         .start(io)?;
//!
//!     for number in 0..1000 {
//!         database.post(io, move |connection| connection.pending.push(number))?;
//!     }
//!     // A call may borrow from its caller.
//!     let wanted = [7, 999];
//!     let known = database.call(io, |connection| {
//!         let Connection { pending, committed } = connection;
//!         wanted.iter().filter(|number| pending.contains(number) || committed.contains(number)).count()
//!     })?;
//!     assert_eq!(known, 2);
//!
//!     database.close(io);
//!     assert_eq!(database.metrics().ran, 1001);
//!     Ok(())
//! }
//!
//! use iolite_threaded::{Options, Threaded};
//! Threaded::new(Options::default())?.run(store)?;
//! # Ok::<_, std::io::Error>(())
//! ```
//!
//! # What is guaranteed
//!
//! - **Every accepted job is accounted for.** It runs, or its caller is told why it does not run: it was canceled while
//!   it was queued, or the worker had no state. Closing or dropping the bridge, a shutdown of the runtime and panics do
//!   not change that.
//! - **A call waits for a job that runs.** So it may borrow from its caller, and a request that arrives in the meantime
//!   stays pending. A queued call is withdrawn at once if its caller is canceled or a timeout around it passes.
//! - **Order**: jobs of one key run on one worker, in the order in which they were accepted. A job without a key never
//!   waits behind a slow job while another worker is idle.
//! - **Bounds**: each queue holds [`queue_capacity`](Builder::queue_capacity) jobs. Callers that wait for room get it
//!   in the order in which they came.
//! - A bridge that was started under one `Io` may be used through any other `Io`: it uses the caller's `io` only to
//!   park.
//!
//! # What is not guaranteed
//!
//! - A worker runs one job after the other, so a job that waits for another job of the same bridge may wait for ever.
//!   If the job itself calls the bridge, it gets an error ([`CallError::WouldDeadlock`]); waits by any other means are
//!   not detected.
//! - A call returns its result before its run is over. The commit in [`after_run`](Builder::after_run) comes later, and
//!   not at all if a later job of the run panics. [`call_committed`](Bridge::call_committed) waits for the commit.
//! - A runtime that shuts down closes the bridges that it has started. If clean-up code needs them, close them before.
//!
//! `README.md` beside the sources describes the protocol and its races.

#![warn(missing_debug_implementations)]

mod bridge;
mod builder;
mod error;
mod metrics;

mod hooks;
mod shared;
mod worker;

mod done;
mod job;
mod queue;

mod mpsc;
mod permits;
mod wake;
mod word;

mod panics;
mod primitive;

pub use bridge::Bridge;
pub use builder::{Builder, HookResult};
pub use error::{CallError, PostError, PostErrorKind};
pub use metrics::Metrics;
