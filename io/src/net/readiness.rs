//! Readiness of sockets: waiting for it, and selecting it.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::socket::{Stream, TypedSocket};
use crate::Io;
use crate::context::Unparker;
use crate::descriptor::Descriptor;
use crate::fd_watcher::{self, Watch};
use crate::operation::{Interest, Operation};
use crate::sealed::Token;
use crate::select::{Fact, Selectable};
use crate::syscalls::is_ready;

impl<F, K> TypedSocket<F, K> {
    /// Waits until receiving or accepting would not block: data or a connection has arrived, the peer has finished, or
    /// there is an error. Another task may be faster, so that a receive after this finds nothing.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `poll`.
    pub fn readable(&self, io: &dyn Io) -> io::Result<()> {
        self.ready(io, Interest::Readable)
    }

    /// Waits until sending would not block: there is room, or an error.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `poll`.
    pub fn writable(&self, io: &dyn Io) -> io::Result<()> {
        self.ready(io, Interest::Writable)
    }

    /// Returns a source that is ready when [`readable`](Self::readable) would return. For
    /// [`select`](crate::Io#method.select). It receives and accepts nothing, so nothing is lost if another source wins.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpStream, sync::mpmc::Receiver, select::OneOf2};
    ///
    /// /// Sends the messages from `outgoing` and reads from the peer, in one task.
    /// fn talk(io: &dyn Io, stream: &TcpStream, outgoing: &Receiver<Vec<u8>>) -> std::io::Result<()> {
    ///     let mut buffer = [0; 4096];
    ///     loop {
    ///         match io.select((stream.on_readable(), outgoing.on_recv()))? {
    ///             OneOf2::First(ready) => {
    ///                 ready?;
    ///                 match stream.read(io, &mut buffer)? {
    ///                     0 => return Ok(()),
    ///                     count => println!("{} bytes", count),
    ///                 }
    ///             }
    ///             OneOf2::Second(message) => stream.write_all(io, &message?)?,
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// A wait that does not find the socket ready at once uses a file descriptor for the duration of the wait.
    ///
    /// # Errors
    ///
    /// The output is an error of `epoll_ctl`, or says that no descriptor is left.
    pub fn on_readable(&self) -> impl Selectable<Output = io::Result<()>> + '_ {
        Readiness::of(self.descriptor(), Interest::Readable)
    }

    /// Returns a source that is ready when [`writable`](Self::writable) would return. For
    /// [`select`](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// See [`on_readable`](Self::on_readable).
    pub fn on_writable(&self) -> impl Selectable<Output = io::Result<()>> + '_ {
        Readiness::of(self.descriptor(), Interest::Writable)
    }

    fn ready(&self, io: &dyn Io, interest: Interest) -> io::Result<()> {
        io.operate(Operation::Ready { descriptor: self.descriptor(), interest })?.done()
    }
}

impl<F> TypedSocket<F, Stream> {
    /// Waits until the peer has finished sending, or the connection is lost, even if bytes are still to be read. For
    /// code that works for a peer without reading from it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `poll`.
    pub fn hung_up(&self, io: &dyn Io) -> io::Result<()> {
        self.ready(io, Interest::HungUp)
    }

    /// Returns a source that is ready when [`hung_up`](Self::hung_up) would return. For
    /// [`select`](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// See [`on_readable`](Self::on_readable).
    pub fn on_hung_up(&self) -> impl Selectable<Output = io::Result<()>> + '_ {
        Readiness::of(self.descriptor(), Interest::HungUp)
    }
}

/// The readiness of a descriptor as a source. If the descriptor cannot be watched, the source is ready at once, with
/// the error.
struct Readiness<'a> {
    descriptor: &'a Descriptor,
    interest: Interest,
    /// A duplicate, because a descriptor can be watched only once at a time and others may wait for this one too.
    watch: OnceCell<io::Result<(OwnedFd, Watch)>>,
}

impl<'a> Readiness<'a> {
    fn of(descriptor: &'a Descriptor, interest: Interest) -> Self {
        Self { descriptor, interest, watch: OnceCell::new() }
    }

    fn is_ready(&self) -> bool {
        // If the check fails, the operation that follows reports the error.
        is_ready(self.descriptor, self.interest).unwrap_or(true)
    }

    fn start(&self, waiter: Unparker) -> io::Result<(OwnedFd, Watch)> {
        let own = rustix::io::fcntl_dupfd_cloexec(self.descriptor, 0)?;
        let watch = fd_watcher::watch_for(own.as_fd(), self.interest, waiter)?;
        Ok((own, watch))
    }
}

impl Fact for Readiness<'_> {
    fn is_there(&self, _: &dyn Io) -> bool {
        matches!(self.watch.get(), Some(Err(_))) || self.is_ready()
    }

    fn watch(&self, waiter: Unparker) {
        self.watch.get_or_init(|| self.start(waiter));
    }

    fn unwatch(&self) {
        if let Some(Ok((own, watch))) = self.watch.get() {
            fd_watcher::unwatch(own.as_fd(), watch);
        }
    }
}

impl Selectable for Readiness<'_> {
    type Output = io::Result<()>;

    fn output(self, _: usize, _: &dyn Io, _: Token) -> io::Result<()> {
        match self.watch.into_inner() {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}
