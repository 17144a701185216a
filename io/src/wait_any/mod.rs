//! Waiting for many things at once, of which one comes.
//!
//! [`io.wait_any`](crate::Io#method.wait_any) takes several [`Source`]s and returns what the first of them came to. A
//! tuple of two to eight comes to [`OneOf2`] to [`OneOf8`], an array or a `Vec` of one type to an index and an output.
//! **Nothing of the others is consumed**: no item, no permit, no lock, no result, no tick.
//!
//! ```
//! use std::io;
//! use iolite_io::{Io, Interval, OneOf4, Task, net::TcpStream, sync::{Event, Receiver}};
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
//!         match io.wait_any((stop.waiting(), reader.finishing(), outgoing.receiving(), pings.ticking()))? {
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
//! | a deadline, a tick | the [`Instant`](crate::Instant), [`interval.ticking()`](crate::Interval::ticking) |
//! | the end of a task | [`task.finishing()`](crate::Task::finishing), [`member.finishing()`](crate::Member::finishing) |
//! | the end of all tasks of a group | [`group.finishing()`](crate::Group::finishing), [`try_group.finishing()`](crate::TryGroup::finishing) |
//! | the next result, the next completion | [`select.finishing()`](crate::Select::finishing), [`queue.waiting()`](crate::CompletionQueue::waiting) |
//! | a token's being canceled | [`token.canceling()`](crate::CancellationToken::canceling) |
//! | an event, a notification | [`event.waiting()`](crate::sync::Event::waiting), [`notify.waiting()`](crate::sync::Notify::waiting) |
//! | a change of a word | [`futex::waiting(&word, value)`](crate::sync::futex::waiting) |
//! | a notification since one registered | [`registration.waiting()`](crate::sync::Registration::waiting) |
//! | an item, or room for one | [`receiver.receiving()`](crate::sync::Receiver::receiving), [`sender.sending(&mut item)`](crate::sync::Sender::sending) |
//! | a free slot, which is kept | [`sender.reserving()`](crate::sync::Sender::reserving) |
//! | nobody who would receive | [`sender.closing()`](crate::sync::Sender::closing), also of a [`oneshot`](crate::sync::oneshot()), a [`broadcast`](crate::sync::BroadcastSender::closing) and a [`watch`](crate::sync::WatchSender::closing) |
//! | an item of a queue, or room for one | [`queue.getting()`](crate::sync::Queue::getting), [`queue.putting(&mut item)`](crate::sync::Queue::putting) |
//! | an item of a broadcast, a change | [`receiver.receiving()`](crate::sync::BroadcastReceiver::receiving), [`receiver.changing()`](crate::sync::WatchReceiver::changing) |
//! | a permit | [`semaphore.acquiring()`](crate::sync::Semaphore::acquiring) |
//! | a lock | [`mutex.locking()`](crate::sync::Mutex::locking), [`lock.reading()`](crate::sync::RwLock::reading), [`lock.writing()`](crate::sync::RwLock::writing) |
//! | a connection to a listener | [`listener.accepting()`](crate::net::TcpListener::accepting) |
//! | a socket that is ready | [`socket.becoming_readable()`](crate::net::TypedSocket::becoming_readable), [`becoming_writable()`](crate::net::TypedSocket::becoming_writable) |
//! | a peer that has finished | [`stream.hanging_up()`](crate::net::TypedSocket::hanging_up) |
//! | a signal, the end of a child | [`signals.arriving()`](crate::signal::Signals::arriving), [`child.exiting()`](crate::process::Child::exiting) |
//!
//! - The order of the sources breaks ties: when several are there, the first is taken. So list what stops the
//!   program first, and what must not starve before what is always there.
//! - Who waits stands in the queue of each source like everybody else, in the order of coming, and is handed what
//!   comes; nobody gets ahead of it.
//! - `None` in the place of a source is never there: `condition.then(|| receiver.receiving())`.
//! - Sources may stand within each other: a `Vec` of receivers in a tuple, a tuple in an array. The order is that in
//!   which they are written down.
//! - [`source.map(f)`](Source::map) is a source that comes to what `f` makes of the output, so that sources of different
//!   outputs fit into one `Vec`.
//! - A wait may want one lock in several ways, `(lock.writing(), lock.reading())`, or one of several numbers of permits:
//!   its own place in the queue shuts out others, but not itself.
//! - Two that wait for many things meet on a rendezvous channel as any other two do. A wait that both sends and
//!   receives on one channel does not meet itself.
//! - A [`Condvar`](crate::sync::Condvar) and a [`Barrier`](crate::sync::Barrier) are no sources; their docs say why.
//! - What can only be performed, reading a file for instance, is waited for as the task that performs it. Of a socket it is
//!   told that an operation would not block, and the operation follows.

mod source;
mod wait;

mod deadline;
mod one_of;
mod sight;
mod told;

pub use one_of::{OneOf2, OneOf3, OneOf4, OneOf5, OneOf6, OneOf7, OneOf8};
pub(crate) use sight::{Sight, Sighting};
pub(crate) use source::{Fact, sealed};
pub use source::{Map, Source};
pub(crate) use told::{Telling, Told};
