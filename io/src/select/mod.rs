//! Waiting for many things at once, of which one comes.
//!
//! [`io.select`](crate::Io#method.select) takes several [`Selectable`]s and returns what the first of them came to. A
//! tuple of two to eight comes to [`OneOf2`] to [`OneOf8`], an array or a `Vec` of one type to an index and an output.
//! **Nothing of the others is consumed**: no item, no permit, no lock, no result, no tick.
//!
//! ```
//! use std::io;
//! use iolite_io::{Io, Interval, OneOf4, Task, net::TcpStream, sync::{Event, mpmc::Receiver}};
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
//!         match io.select((stop.on_wait(), reader.on_finish(), outgoing.on_recv(), pings.on_tick()))? {
//!             OneOf4::First(()) => return Ok(()),
//!             OneOf4::Second(()) => return reader.join(io),
//!             OneOf4::Third(message) => stream.write_all(io, &message?)?,
//!             OneOf4::Fourth(_) => stream.write_all(io, b"ping\n")?,
//!         }
//!     }
//! }
//! ```
//!
//! | to wait for | say |
//! |---|---|
//! | a deadline, a tick | the [`Instant`](crate::Instant), [`interval.on_tick()`](crate::Interval::on_tick) |
//! | the end of a task | [`task.on_finish()`](crate::Task::on_finish), [`member.on_finish()`](crate::ScopedTask::on_finish) |
//! | the end of all tasks of a group | [`group.on_finish()`](crate::Group::on_finish), [`try_group.on_finish()`](crate::TryGroup::on_finish) |
//! | the next result, the next completion | [`set.on_next()`](crate::JoinSet::on_next), [`queue.on_wait()`](crate::CompletionQueue::on_wait) |
//! | a token's being canceled | [`token.on_canceled()`](crate::CancellationToken::on_canceled) |
//! | an event, a notification | [`event.on_wait()`](crate::sync::Event::on_wait), [`notify.on_wait()`](crate::sync::Notify::on_wait) |
//! | a change of a word | [`futex::on_wait(&word, value)`](crate::sync::futex::on_wait) |
//! | a notification since one registered | [`registration.on_wait()`](crate::sync::Registration::on_wait) |
//! | an item, or room for one | [`receiver.on_recv()`](crate::sync::mpmc::Receiver::on_recv), [`sender.on_send(&mut item)`](crate::sync::mpmc::Sender::on_send) |
//! | a free slot, which is kept | [`sender.on_reserve()`](crate::sync::mpmc::Sender::on_reserve) |
//! | nobody who would receive | [`sender.on_closed()`](crate::sync::mpmc::Sender::on_closed), also of a [`oneshot`](crate::sync::oneshot::channel()), a [`broadcast`](crate::sync::broadcast::Sender::on_closed) and a [`watch`](crate::sync::watch::Sender::on_closed) |
//! | an item of a queue, or room for one | [`queue.on_get()`](crate::sync::Queue::on_get), [`queue.on_put(&mut item)`](crate::sync::Queue::on_put) |
//! | an item of a broadcast, a change | [`receiver.on_recv()`](crate::sync::broadcast::Receiver::on_recv), [`receiver.on_changed()`](crate::sync::watch::Receiver::on_changed) |
//! | a permit | [`semaphore.on_acquire()`](crate::sync::Semaphore::on_acquire) |
//! | a lock | [`mutex.on_lock()`](crate::sync::Mutex::on_lock), [`lock.on_read()`](crate::sync::RwLock::on_read), [`lock.on_write()`](crate::sync::RwLock::on_write) |
//! | a connection to a listener | [`listener.on_accept()`](crate::net::TcpListener::on_accept) |
//! | a socket that is ready | [`socket.on_readable()`](crate::net::TypedSocket::on_readable), [`on_writable()`](crate::net::TypedSocket::on_writable) |
//! | a peer that has finished | [`stream.on_hung_up()`](crate::net::TypedSocket::on_hung_up) |
//! | a signal, the end of a child | [`signals.on_next()`](crate::signal::Signals::on_next), [`child.on_wait()`](crate::process::Child::on_wait) |
//!
//! - The order of the sources breaks ties: when several are there, the first is taken. So list what stops the
//!   program first, and what must not starve before what is always there.
//! - Who waits stands in the queue of each source like everybody else, in the order of coming, and is handed what
//!   comes; nobody gets ahead of it.
//! - `None` in the place of a source is never there: `condition.then(|| receiver.on_recv())`.
//! - Sources may stand within each other: a `Vec` of receivers in a tuple, a tuple in an array. The order is that in
//!   which they are written down.
//! - [`source.map(f)`](Selectable::map) is a source that comes to what `f` makes of the output, so that sources of different
//!   outputs fit into one `Vec`.
//! - A wait may want one lock in several ways, `(lock.on_write(), lock.on_read())`, or one of several numbers of permits:
//!   its own place in the queue shuts out others, but not itself.
//! - Two that wait for many things meet on a rendezvous channel as any other two do. A wait that both sends and
//!   receives on one channel does not meet itself.
//! - A [`Condvar`](crate::sync::Condvar) and a [`Barrier`](crate::sync::Barrier) are no sources; their docs say why.
//! - What can only be performed, reading a file for instance, is waited for as the task that performs it. Of a socket it is
//!   told that an operation would not block, and the operation follows.

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
