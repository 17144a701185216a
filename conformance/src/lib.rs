//! The conformance suite: what every [`Io`](iolite_io::Io) does, written once against `&dyn Io`.
//!
//! A backend, or a decorator around one, proves itself with it in a test target without a harness: `harness = false` in
//! `Cargo.toml`, and as its `main` [`run`] with the [`FileTarget`]s.
//!
//! ```no_run
//! use std::io;
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use iolite_conformance::{Around, Plain, Running, FileTarget, Wanted};
//! # use iolite_io::Io;
//! #
//! # #[derive(Clone)]
//! # struct Simulator;
//! #
//! # impl Simulator {
//! #     fn new(_: usize, _: usize) -> io::Result<Self> { Ok(Self) }
//! #     fn handle(&self) -> Arc<dyn Io> { todo!() }
//! #     fn shutdown(self) {}
//! # }
//!
//! struct Simulated;
//!
//! impl FileTarget for Simulated {
//!     fn name(&self) -> &str {
//!         "simulator"
//!     }
//!
//!     fn start(&self, wanted: &Wanted) -> io::Result<Running> {
//!         let simulator = Simulator::new(wanted.async_limit.unwrap_or(4), wanted.concurrent_limit.unwrap_or(4096))?;
//!         Ok(Running::new(simulator.handle(), || simulator.shutdown()))
//!     }
//!
//!     fn tasks_are_threads(&self) -> bool {
//!         false
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     let decorated = Around::new("plain-simulator", Arc::new(Simulated), Plain::around);
//!     iolite_conformance::run(vec![Arc::new(Simulated), Arc::new(decorated)])
//! }
//! ```
//!
//! `tests/decorator.rs` in the repository is a whole one.
//!
//! # What a backend must provide
//!
//! All of the trait [`Io`](iolite_io::Io): tasks, the operations of the vocabulary, clocks, random bytes, a name and a
//! handle. Multishot operations may be left out. It must allow several runtimes in one process, those of other subjects
//! among them, and calls from plain threads. [`Wanted`] says which limits it must have.
//!
//! A decorator must have a handle, by which tasks that outlive a call get at it, and pass on what it does not do
//! itself, as a [`Decorator`](iolite_io::backend::Decorator) does; [`Plain`] does no more.
//!
//! # What is checked
//!
//! Tasks, groups, limits and placement; cancellation, timeouts and shutdown; locks, channels and all else that waits;
//! files, sockets, processes, signals and standard streams; the bridge; decorators that inject faults. Most cases run
//! twice, on a plain thread that uses the `Io` and in a task; some with one executor or without a unit for
//! `spawn_async`. Cases about two runtimes run on each pair of subjects, in either order, and on each with itself.
//!
//! Races repeat themselves some thousand times, steer towards the instant at which both sides win, and keep a ledger: no
//! byte, socket, item, permit or task is lost or doubled.
//!
//! # How to run it
//!
//! A case is named after its module, its function and its subjects: `udp::ipv6_messages_tell_their_sender::simulator`,
//! `queue::items_come_in_order_at_every_capacity(3,(4,2))::simulator`, `mixed::one_channel_between_both(0)::one+other`.
//! `cargo test --test conformance -- tcp::` runs those with that in their names; `--exact`, `--skip`, `--list`,
//! `--test-threads` and `--quiet` work as they do elsewhere. What a case notes, and where it panics, is shown when it
//! fails, or at once with `--nocapture`.
//!
//! - `IOLITE_TEST_SEED` repeats a run of random choices: every seed is noted, and so is shown by the case that fails.
//! - `IOLITE_TEST_ROUNDS` is how often races and other repeated things are done; 10,000 is a long run.
//! - `IOLITE_TEST_REQUIRE` names backends, separated by commas, that have to be there: without one of them, what needs
//!   it fails.
//! - `RUST_BACKTRACE` shows from where it panicked.
//!
//! A case that makes no progress for a minute ends the process and says its name.
//!
//! A case that cannot run is reported as ignored: a subject cannot be started here, the machine lacks something else
//! (IPv6, `CAP_NET_RAW`, direct I/O), or the case is about what the subject is not. It fails nothing, and does not count
//! as run. At the end stands how many cases ran on each subject, and for each cause, how many were ignored.
//!
//! # Cases of one's own
//!
//! [`run_cases`] and [`run_one_by_one`] are the same harness for tests of a package's own that need a subject; [`cases!`](macro@cases),
//! [`pairs!`](macro@pairs) and [`whole!`](macro@whole) make lists of them.
//! [`On`] and [`tools`] serve tests of another harness, too: `On::new(subject).run(|io| ..)` runs one in all contexts.

#![forbid(unsafe_code)]
#![warn(missing_debug_implementations)]

mod case;
mod cases;
mod record;
mod report;

mod around;
mod on;
mod subject;
mod suite;

pub mod tools;

pub use around::{Around, Plain};
pub use case::Case;
pub use on::On;
pub use subject::{FileTarget, Main, Running, Wanted};
pub use suite::{run, run_cases, run_chosen, run_one_by_one};
