//! Waiting for the first of several things.
//!
//! [`io.select`](crate::Io#method.select) takes several [`Selectable`]s, waits until one of them is ready, takes that one and
//! returns its output. **It takes nothing from the others**: no item, no permit, no lock, no result, no tick. The macro
//! [`select!`](crate::select!) does the same and gives each output a name:
//!
//! ```
//! use std::io;
//! use iolite_io::{Interval, Io, Task, net::TcpStream, select, sync::{Event, mpmc::Receiver}};
//!
//! fn serve(
//!     io: &dyn Io,
//!     stream: &TcpStream,
//!     stop: &Event,
//!     mut reader: Task<io::Result<()>>,
//!     outgoing: &Receiver<Vec<u8>>,
//!     pings: &mut Interval,
//! ) -> io::Result<()> {
//!     loop {
//!         select!(io, {
//!             () = stop.on_wait() => return Ok(()),
//!             () = reader.on_finish() => return reader.join(io),
//!             message = outgoing.on_recv() => stream.write_all(io, &message?)?,
//!             _ = pings.on_tick() => stream.write_all(io, b"ping\n")?,
//!         })?;
//!     }
//! }
//! ```
//!
//! Without the macro, the output of a tuple of two to eight sources is [`OneOf2`] to [`OneOf8`], and the output of an
//! array or a `Vec` of sources of one type is an index and a value. The `on_` form of a call returns that call as a
//! source:
//!
//! | to wait for | select |
//! |---|---|
//! | a deadline, a tick | the [`Instant`](crate::Instant), [`interval.on_tick()`](crate::Interval::on_tick) |
//! | the end of a task | [`task.on_finish()`](crate::Task::on_finish), [`member.on_finish()`](crate::ScopedTask::on_finish) |
//! | the end of all tasks of a group | [`group.on_finish()`](crate::Group::on_finish), [`try_group.on_finish()`](crate::TryGroup::on_finish) |
//! | the next result, the next completion | [`set.on_next()`](crate::JoinSet::on_next), [`queue.on_wait()`](crate::completion::CompletionQueue::on_wait) |
//! | the cancellation of a token | [`token.on_canceled()`](crate::CancellationToken::on_canceled) |
//! | an event, a notification | [`event.on_wait()`](crate::sync::Event::on_wait), [`notify.on_wait()`](crate::sync::Notify::on_wait) |
//! | a change of a word | [`futex::on_wait(&word, value)`](crate::sync::futex::on_wait) |
//! | a notification after a registration | [`registration.on_wait()`](crate::sync::Registration::on_wait) |
//! | an item, or room for one | [`receiver.on_recv()`](crate::sync::mpmc::Receiver::on_recv), [`sender.on_send(&mut item)`](crate::sync::mpmc::Sender::on_send) |
//! | a free slot, which is kept | [`sender.on_reserve()`](crate::sync::mpmc::Sender::on_reserve) |
//! | the loss of the last receiver | [`sender.on_closed()`](crate::sync::mpmc::Sender::on_closed), also of a [`oneshot`](crate::sync::oneshot::channel()), a [`broadcast`](crate::sync::broadcast::Sender::on_closed) and a [`watch`](crate::sync::watch::Sender::on_closed) |
//! | an item of a queue, or room for one | [`queue.on_get()`](crate::sync::Queue::on_get), [`queue.on_put(&mut item)`](crate::sync::Queue::on_put) |
//! | an item of a broadcast, a change | [`receiver.on_recv()`](crate::sync::broadcast::Receiver::on_recv), [`receiver.on_changed()`](crate::sync::watch::Receiver::on_changed) |
//! | a permit | [`semaphore.on_acquire()`](crate::sync::Semaphore::on_acquire) |
//! | a lock | [`mutex.on_lock()`](crate::sync::Mutex::on_lock), [`lock.on_read()`](crate::sync::RwLock::on_read), [`lock.on_write()`](crate::sync::RwLock::on_write) |
//! | a connection to a listener | [`listener.on_accept()`](crate::net::TcpListener::on_accept) |
//! | a socket that is ready | [`socket.on_readable()`](crate::net::TypedSocket::on_readable), [`on_writable()`](crate::net::TypedSocket::on_writable) |
//! | a peer that has finished | [`stream.on_hung_up()`](crate::net::TypedSocket::on_hung_up) |
//! | a signal, the end of a child | [`signals.on_next()`](crate::signal::Signals::on_next), [`child.on_wait()`](crate::process::Child::on_wait) |
//!
//! - **The order breaks ties.** When several sources are ready, `select` takes the first. So put the source that stops
//!   the program first, and put a source that must not starve before one that is always ready.
//! - **It is fair to others.** The caller stands in the queue of each source like every other waiter, in order of arrival.
//! - **`None` is never ready.** `condition.then(|| receiver.on_recv())` leaves a source out.
//! - **Sources nest.** A `Vec` of receivers may stand in a tuple, and a tuple in an array. Ties are broken in the order in which
//!   the sources are written.
//! - [`source.map(f)`](Selectable::map) applies `f` to the output, so that sources with different outputs fit into one `Vec`.
//! - One `select` may name a lock or a semaphore several times, as `(lock.on_write(), lock.on_read())` does. Its places in the
//!   queue do not block each other.
//! - One `select` can send to another one over a rendezvous channel, but not to itself.
//! - A [`Condvar`](crate::sync::Condvar) and a [`Barrier`](crate::sync::Barrier) cannot be selected; their documentation
//!   says why.
//! - An operation such as reading a file cannot be selected either: start a task that performs it, and select the end of the
//!   task. For a socket, select `on_readable` or `on_writable`, and then make the call.

mod arms;
mod source;
mod wait;

mod deadline;
mod on_fd;
mod one_of;
mod polled;

pub(crate) use on_fd::{FdEvent, OnFd};
pub use one_of::{OneOf2, OneOf3, OneOf4, OneOf5, OneOf6, OneOf7, OneOf8};
pub(crate) use polled::{OnPolled, Polled};
pub(crate) use source::{Fact, sealed};
pub use source::{Map, Selectable};
