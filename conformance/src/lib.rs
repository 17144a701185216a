//! The conformance suite: the behaviour that every [`Io`](iolite_io::Io) must have, written once against `&dyn Io`.
//!
//! A backend, or a decorator around one, is checked in a test target without a harness: it has `harness = false` in
//! `Cargo.toml`, and its `main` calls [`run`] with the [`Subject`]s.
//!
//! ```no_run
//! use std::io;
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use iolite_conformance::{Around, Plain, Running, Subject, Wanted};
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
//! impl Subject for Simulated {
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
//! `tests/decorator.rs` in the repository is a complete example.
//!
//! # What a backend must provide
//!
//! It must provide the whole trait [`Io`](iolite_io::Io): tasks, the operations of the vocabulary, clocks, random
//! bytes, a name and a handle. Multishot operations are optional. It must allow several runtimes in one process,
//! including those of other subjects, and calls from plain threads. [`Wanted`] lists the limits that it must have.
//!
//! A decorator must have a handle, because tasks that outlive a call need it, and pass on all calls that it does not
//! handle itself, as a [`Decorator`](iolite_io::backend::Decorator) does; [`Plain`] does only that.
//!
//! # What is checked
//!
//! Tasks, groups, limits and placement; cancellation, timeouts and shutdown; locks, channels and everything else that
//! waits; files, sockets, processes, signals and standard streams; the bridge; decorators that inject faults. Most
//! cases run twice, on a plain thread that uses the `Io` and in a task; some run with one executor or without a unit
//! for `spawn_async`. Cases about two runtimes run on each pair of subjects, in either order, and on each with itself.
//!
//! Races are repeated some thousand times. They steer towards the instant at which either side can win, and keep a
//! ledger: no byte, socket, item, permit or task is lost or duplicated.
//!
//! # How to run it
//!
//! A case is named after its module, its function and its subjects: `udp::ipv6_messages_tell_their_sender::simulator`,
//! `queue::items_come_in_order_at_every_capacity(3,(4,2))::simulator`, `mixed::one_channel_between_both(0)::one+other`.
//! `cargo test --test conformance -- tcp::` runs the cases with that text in their names; `--exact`, `--skip`,
//! `--list`, `--test-threads` and `--quiet` work as usual. The notes of a case and the place of its panic are shown
//! when it fails, or at once with `--nocapture`.
//!
//! - `IOLITE_TEST_SEED` repeats a run of random choices: every seed is noted, so a case that fails shows it.
//! - `IOLITE_TEST_ROUNDS` is the number of rounds of races and of other repeated tests; 10,000 is a long run.
//! - `IOLITE_TEST_REQUIRE` names backends, separated by commas, that have to be available: without one of them, the
//!   cases that need it fail.
//! - `RUST_BACKTRACE` shows the backtrace of a panic.
//!
//! A case that makes no progress for a minute ends the process, which prints its name.
//!
//! A case that cannot run is reported as ignored: a subject cannot be started here, the machine lacks something else
//! (IPv6, `CAP_NET_RAW`, direct I/O), or the case does not apply to the subject. It does not make the run fail, and
//! does not count as run. At the end, the suite prints how many cases ran on each subject, and for each cause, how many
//! were ignored.
//!
//! # Cases of your own
//!
//! [`run_cases`] and [`run_one_by_one`] are the same harness for a package's own tests that need a subject;
//! [`cases!`](macro@cases), [`pairs!`](macro@pairs) and [`whole!`](macro@whole) make lists of them. Tests of another
//! harness can use [`On`] and [`tools`], too: `On::new(subject).run(|io| ..)` runs one in all contexts.

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
pub use subject::{Main, Running, Subject, Wanted};
pub use suite::{run, run_cases, run_chosen, run_one_by_one};
