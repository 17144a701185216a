//! Bounded lock-free queues from fibers to pools of threads that may block.
//!
//! A fiber must not block its executor, and a database, a C library or a CPU-heavy function does
//! nothing else. A [`Bridge`] is a pool of named worker threads, each with a state of its own, a
//! connection for instance. Any context brings it jobs: fibers, tasks of every backend, plain
//! threads. [`call`](Bridge::call) waits for the result while the executor goes on with others,
//! [`post`](Bridge::post) does not wait for the job; where the queue is full, both wait for room.
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
//! - **Every accepted job is accounted for.** It runs, or its caller is told why not: it was
//!   canceled while it was queued, or the worker had no state. Closing, dropping the bridge, the
//!   runtime's shutdown and panics change nothing of that.
//! - **A job that runs is waited for.** That is why a call may borrow; a request that arrives
//!   meanwhile stays pending. A queued call is withdrawn at once when its caller is canceled or a
//!   timeout around it passes.
//! - **Order**: jobs of one key run on one worker in the order in which they were accepted. Jobs
//!   without a key never wait behind a slow one while another worker has nothing to do.
//! - **Bounds**: each queue holds [`queue_capacity`](Builder::queue_capacity) jobs. Callers that
//!   wait for room get it in the order in which they came.
//! - A bridge started under one `Io` may be used through any other: it needs the caller's `io` to
//!   park and no more.
//!
//! # What is not
//!
//! - A worker runs one job after the other, so a job that waits for another job of the same bridge
//!   can wait for ever. Where the job itself calls, it is told so
//!   ([`CallError::WouldDeadlock`]); what it waits for by other means is not seen.
//! - A call has its result before its run is over. What [`after_run`](Builder::after_run) commits
//!   is committed later, and not at all if a later job of the run panics.
//!   [`call_committed`](Bridge::call_committed) waits for it.
//! - A runtime that shuts down closes the bridges that it started. Close them before, if clean-up
//!   code needs them.
//!
//! The protocol, with its races, is told in `README.md` beside the sources.

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
