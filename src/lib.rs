//! Blocking I/O, written once, that runs on bounded threads or on io_uring fibers.
//!
//! A function that does I/O takes an `io: &dyn` [`Io`] and blocks. `main` picks the backend by configuration, and the program
//! stays the same:
//!
//! - [`threaded`]: a bounded pool of threads and blocking system calls.
//! - [`evented`]: stackful fibers on a few threads, each of which has an io_uring of its own.
//! - `auto`, the default: `evented` if the kernel allows it; otherwise `threaded`, and one line on stderr says why.
//!
//! The rest of this page is a tutorial in six steps. Each step is a program that compiles and runs.
//!
//! # 1. Echo
//!
//! Sockets are used as in std, with `io` as the first argument. Buffers are borrowed, on the stack, on both backends.
//!
//! ```
//! use iolite::net::{TcpListener, TcpStream};
//! use iolite::prelude::*;
//!
//! fn echo(io: &dyn Io, stream: &TcpStream) -> std::io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         match stream.read(io, &mut buffer)? {
//!             0 => return Ok(()),
//!             count => stream.write_all(io, &buffer[..count])?,
//!         }
//!     }
//! }
//!
//! fn greet(io: &dyn Io) -> std::io::Result<String> {
//!     let listener = TcpListener::bind(io, "127.0.0.1:0")?;
//!     let address = listener.local_addr(io)?;
//!     io.group(|group| {
//!         // The server runs beside the client, which waits for it. It borrows the listener.
//!         let server = group.spawn_concurrent(|io| echo(io, &listener.accept(io)?.0))?;
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
//! let config = Config::new().backend(BackendChoice::Auto);
//! assert_eq!(iolite::run(config, greet)??, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program of your own has a `main` that reads the environment ([`Config::from_env`]) and prints an error as one line:
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
//! # 2. Many clients
//!
//! A group's tasks may borrow from outside of the group, and none of them outlives it. `spawn_waiting` waits for a slot, so
//! that a server at its limit stops accepting instead of failing. `contain_panics` reports the panic of a handler and keeps
//! the others running.
//!
//! The slots are those of the whole program (`concurrent_limit`). To limit one server, acquire a permit of a
//! [`Semaphore`](sync::Semaphore) that lives outside of the group before you accept, and move it into the handler.
//!
//! ```
//! # use iolite::net::{TcpListener, TcpStream};
//! # use iolite::prelude::*;
//! # fn echo(io: &dyn Io, stream: &TcpStream) -> std::io::Result<()> {
//! #     let mut buffer = [0; 4096];
//! #     loop {
//! #         match stream.read(io, &mut buffer)? {
//! #             0 => return Ok(()),
//! #             count => stream.write_all(io, &buffer[..count])?,
//! #         }
//! #     }
//! # }
//! fn serve(io: &dyn Io, listener: &TcpListener) -> std::io::Result<()> {
//!     io.group(|group| {
//!         group.contain_panics();
//!         loop {
//!             let (stream, peer) = listener.accept(io)?;
//!             group.spawn_waiting(move |io| {
//!                 if let Err(error) = echo(io, &stream) {
//!                     eprintln!("{peer}: {}", ErrorChain::new(&error));
//!                 }
//!             })?;
//!         }
//!     })
//! }
//!
//! fn main_task(io: &dyn Io) -> std::io::Result<()> {
//!     let listener = TcpListener::bind(io, "127.0.0.1:0")?;
//!     let address = listener.local_addr(io)?;
//!     io.group(|group| {
//!         let server = group.spawn_concurrent(|io| serve(io, &listener))?;
//!         for _ in 0..10 {
//!             let client = TcpStream::connect(io, address)?;
//!             client.write_all(io, b"ping")?;
//!             client.read_exact(io, &mut [0; 4])?;
//!         }
//!         // Stops the server and all of its handlers, and waits until they have ended.
//!         server.cancel(io).unwrap_or_else(|error| assert!(Canceled::is_in(&error)));
//!         Ok(())
//!     })
//! }
//! # iolite::run(Config::new(), main_task)??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! <a id="which-spawn-to-take"></a>
//! ## Which spawn to take
//!
//! Ask first whether the caller, or any other task, waits for what the new task does before it ends.
//!
//! | | take it if | when no slot is free |
//! |---|---|---|
//! | [`spawn_concurrent`](Io#method.spawn_concurrent) | **somebody waits for what it does while it runs**: a consumer, a server, the other side of a channel, a task that sets an event | returns an error with the closure |
//! | [`spawn_waiting`](Io#method.spawn_waiting) | the same, and the caller can wait for a slot: one task per connection | waits |
//! | [`spawn_async`](Io#method.spawn_async) | only its result is wanted and the order does not matter: two lookups, parts of a sum | **runs it at once, on top of the caller**, which goes on afterwards |
//!
//! A task of `spawn_async` that waits for its own caller never ends if it runs on top of that caller. On `threaded` with the
//! default `async_limit` (one less than there are CPUs), this happens with the first task on a machine with one CPU; on
//! `evented`, only when 10,000 tasks run. The library cannot detect such a deadlock, which looks like a wait for a slow peer. Run
//! your tests once with `IOLITE_ASYNC_LIMIT=0`: then every `spawn_async` runs on top of its caller, on both backends, and a
//! task that waits for its caller stops there. In a debugger, such a deadlock is one stack.
//!
//! A task of `spawn_waiting` waits for a slot of the whole program. If the tasks that have the slots wait for that task, nothing
//! goes on: with a `concurrent_limit` of 1, a consumer that is started first keeps its producer from starting.
//!
//! # 3. Timeouts and cancellation
//!
//! Every call that can block is a cancellation point. It returns [`Canceled`] once its task was asked to stop, or once a
//! timeout around it has passed. Errors compose: `?` passes `Canceled` on as an [`std::io::Error`].
//!
//! ```
//! use std::time::Duration;
//!
//! use iolite::net::{TcpListener, TcpStream};
//! use iolite::prelude::*;
//!
//! fn ask(io: &dyn Io, address: std::net::SocketAddr) -> std::io::Result<()> {
//!     let stream = TcpStream::connect(io, address)?;
//!     // Whatever is called in here ends within 20 ms.
//!     let silent = io.timeout(Duration::from_millis(20), |io| stream.read(io, &mut [0; 64]));
//!     assert_eq!(silent.expect_err("nobody answers").kind(), std::io::ErrorKind::TimedOut);
//!     // A task that was asked to stop can still say goodbye: `shield` holds requests back.
//!     io.shield(|io| io.timeout(Duration::from_secs(1), |io| stream.write_all(io, b"bye\n")))
//! }
//!
//! # fn main_task(io: &dyn Io) -> std::io::Result<()> {
//! #     let listener = TcpListener::bind(io, "127.0.0.1:0")?;
//! #     ask(io, listener.local_addr(io)?)
//! # }
//! # iolite::run(Config::new(), main_task)??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If a call has succeeded, it reports success even if a cancellation was under way: no byte, socket, item or lock is
//! lost. [The page on cancellation](mod@cancel) has the rules.
//!
//! # 4. Channels, and waiting for several things
//!
//! [`sync`] has locks and channels that work between fibers, threads and several backends. [`select!`] waits for the first
//! of several things and takes nothing from the others.
//!
//! ```
//! use std::time::Duration;
//!
//! use iolite::prelude::*;
//! use iolite::sync::{Event, mpmc};
//!
//! fn sum(io: &dyn Io) -> Result<u64, Canceled> {
//!     let (sender, receiver) = mpmc::channel(16);
//!     let stop = Event::new();
//!     io.group(|group| {
//!         let summing = group.spawn_concurrent(|io| {
//!             let mut sum = 0;
//!             loop {
//!                 select!(io, {
//!                     number = receiver.on_recv() => sum += number.unwrap_or(0),
//!                     () = stop.on_wait() => return Ok(sum),
//!                     _ = io.now() + Duration::from_secs(10) => panic!("nobody sends"),
//!                 })?;
//!             }
//!         });
//!         let summing = summing.expect("a slot is free");
//!         for number in 1..=100_u64 {
//!             sender.send(io, number).expect("it receives");
//!         }
//!         stop.set();
//!         summing.join(io)
//!     })
//! }
//! # let result: Result<u64, Canceled> = iolite::run(Config::new(), sum)?;
//! # assert_eq!(result.unwrap(), 5050);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 5. Files
//!
//! [`fs`] has everything that std's `fs` has, and more. File operations block no executor.
//! [`write_atomic`](fs::write_atomic) replaces a file as a whole, and [`with`](fs::File::with) adapts a handle to std's
//! `Read` and `Write`.
//!
//! ```
//! use std::io::BufRead;
//!
//! use iolite::fs;
//! use iolite::prelude::*;
//!
//! fn count_lines(io: &dyn Io) -> std::io::Result<usize> {
//!     let path = std::env::temp_dir().join(format!("iolite-tutorial-{}", std::process::id()));
//!     fs::write_atomic(io, &path, "one\ntwo\nthree\n")?;
//!     let file = fs::File::open(io, &path)?;
//!     let lines = std::io::BufReader::new(file.with(io)).lines().count();
//!     fs::remove_file(io, &path)?;
//!     Ok(lines)
//! }
//! # assert_eq!(iolite::run(Config::new(), count_lines)??, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 6. A database, through the bridge
//!
//! Code that can only block, such as a database driver, runs on the named worker threads of a [`bridge`], each of which has a
//! state of its own. A call waits for its result and lets other tasks run meanwhile. It may borrow from its caller.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use iolite::bridge::Bridge;
//! use iolite::prelude::*;
//!
//! /// Stands for a connection to a database.
//! #[derive(Default)]
//! struct Connection(HashMap<String, u64>);
//!
//! fn visits(io: &dyn Io) -> std::io::Result<u64> {
//!     let database = Bridge::builder("database")
//!         .workers(1)
//!         .queue_capacity(64)
//!         .state(|| Ok::<_, std::io::Error>(Connection::default()))
//!         .start(io)?;
//!     let page = String::from("/index.html");
//!     for _ in 0..3 {
//!         database.call(io, |connection| *connection.0.entry(page.clone()).or_default() += 1)?;
//!     }
//!     let count = database.call(io, |connection| connection.0.get(&page).copied())?;
//!     database.close(io);
//!     Ok(count.unwrap_or(0))
//! }
//! # assert_eq!(iolite::run(Config::new(), visits)??, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to go from here
//!
//! `docs/names.md` in the repository maps the names of std, tokio, Go and `std.Io` to those of this crate, `SOUNDNESS.md`
//! says what is guaranteed, and `examples/` has whole programs.

#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, missing_docs)]

mod config;
pub mod prelude;
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

/// Compiles the program in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
