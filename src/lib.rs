//! One program in plain blocking style, shown to the machine as bounded threads or as io_uring
//! fibers.
//!
//! Whoever does input or output is handed an `&dyn` [`Io`] and hands it on. Only `main` picks a
//! backend, and it does so by configuration: the program stays the same.
//!
//! - [`threaded`]: a bounded pool of threads and blocking system calls.
//! - [`evented`]: stackful fibers on a few threads, each with an io_uring of its own.
//! - `auto`, the default: `evented` where the kernel allows it, else `threaded` with one line that
//!   says why.
//!
//! # Which spawn to take
//!
//! Two tasks that wait for each other have to run beside each other. So the first question is whether the caller, or
//! any other task, waits for what the new task does before it ends:
//!
//! | | when | when no unit is free |
//! |---|---|---|
//! | [`spawn_concurrent`](Io#method.spawn_concurrent) | **somebody waits for what it does while it runs**: a consumer, a server, the other side of a channel, whoever sets an event | [`ConcurrencyUnavailable`], with the closure |
//! | [`spawn_waiting`](Io#method.spawn_waiting) | the same, and the caller can wait for a slot: one task per connection | waits |
//! | [`spawn_async`](Io#method.spawn_async) | only its result is wanted, and the order does not matter: two lookups, parts of a sum | **runs at once, on top of the caller**, which goes on when it has ended |
//!
//! A task of `spawn_async` that waits for its own caller never ends where it runs on top of that caller. On `threaded`
//! with its default `async_limit` (one less than there are CPUs) that is so from the first task on a machine with one
//! CPU, on `evented` only when 10,000 tasks run. No report names it, for it looks like a wait for a slow peer. In a debugger such a deadlock is one stack: the task that waits, on top of
//! the `spawn_async` or the `join` of the caller that it waits for; `async_limit` is the limit that was reached. With
//! [`Config::async_limit`] 0 every `spawn_async` runs on top of its caller, on both backends: run your tests once with
//! `IOLITE_ASYNC_LIMIT=0`, and what waits for its caller stops there.
//!
//! # An example
//!
//! ```
//! use iolite::net::{TcpListener, TcpStream};
//! use iolite::{BackendChoice, Config, Io};
//!
//! fn echo(io: &dyn Io, stream: &TcpStream) -> std::io::Result<()> {
//!     let mut buffer = [0; 4096]; // borrowed, on the stack: sound on both backends
//!     loop {
//!         match stream.read(io, &mut buffer)? {
//!             0 => return Ok(()),
//!             n => stream.write_all(io, &buffer[..n])?,
//!         }
//!     }
//! }
//!
//! fn greet(io: &dyn Io) -> std::io::Result<String> {
//!     let listener = TcpListener::bind(io, "127.0.0.1:0")?;
//!     let address = listener.local_addr(io)?;
//!     io.group(|group| {
//!         // No task outlives the group; this one borrows the listener.
//!         let server = group.spawn_waiting(io, |io| echo(io, &listener.accept(io)?.0))?;
//!         let client = TcpStream::connect(io, address)?;
//!         client.write_all(io, b"hello")?;
//!         let mut answer = [0; 5];
//!         client.read_exact(io, &mut answer)?;
//!         drop(client);
//!         server.join(io)?;
//!         Ok(String::from_utf8_lossy(&answer).into_owned())
//!     })
//! }
//!
//! let config = Config::new().backend(BackendChoice::Threaded).concurrent_limit(8);
//! assert_eq!(iolite::run(config, greet)??, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A `main` that reads the environment ([`Config::from_env`]) and reports errors as one line:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     iolite::main(iolite::Config::from_env(), |io| {
//!         println!("runs on {}", io.backend());
//!         std::io::Result::Ok(())
//!     })
//! }
//! ```
//!
//! [The page on cancellation](mod@cancel) explains what a blocking call does when it is asked to stop; `SOUNDNESS.md` in the
//! repository says what is guaranteed.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod config;
mod run;

pub use config::{BackendChoice, Config, ConfigError};
pub use run::{RunError, main, run};

pub use iolite_io::*;

#[doc(inline)]
pub use iolite_bridge as bridge;
#[doc(inline)]
pub use iolite_evented as evented;
#[doc(inline)]
pub use iolite_threaded as threaded;

/// Compiles the program of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
