//! Whether a socket is ready: waiting for it, and as one of many things to wait for.

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
    /// Waits until receiving or accepting would not block: something is there, or the end, or an error. Who
    /// then receives may find that somebody else was faster.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `poll`.
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
    /// Those of `poll`.
    pub fn writable(&self, io: &dyn Io) -> io::Result<()> {
        self.ready(io, Interest::Writable)
    }

    /// What [`readable`](Self::readable) waits for, as one of many things to [wait for](crate::Io#method.select).
    /// Nothing is received or accepted, so nothing is lost when another one wins.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpStream, sync::mpmc::Receiver, select::OneOf2};
    ///
    /// /// Sends what comes out of `outgoing`, and reads what the peer says, in one task.
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
    /// A wait that does not find it ready at once takes a descriptor for as long as it waits.
    ///
    /// # Errors
    ///
    /// Of what it comes to: when no descriptor is left; those of `epoll_ctl`.
    pub fn on_readable(&self) -> impl Selectable<Output = io::Result<()>> + '_ {
        Readiness::of(self.descriptor(), Interest::Readable)
    }

    /// What [`writable`](Self::writable) waits for, as one of many things to [wait for](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// As of [`on_readable`](Self::on_readable).
    pub fn on_writable(&self) -> impl Selectable<Output = io::Result<()>> + '_ {
        Readiness::of(self.descriptor(), Interest::Writable)
    }

    fn ready(&self, io: &dyn Io, interest: Interest) -> io::Result<()> {
        io.operate(Operation::Ready { descriptor: self.descriptor(), interest })?.done()
    }
}

impl<F> TypedSocket<F, Stream> {
    /// Waits until the peer has finished sending, or the connection is gone, whatever is still to be read: for who
    /// works for a peer and does not read meanwhile.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `poll`.
    pub fn hung_up(&self, io: &dyn Io) -> io::Result<()> {
        self.ready(io, Interest::HungUp)
    }

    /// What [`hung_up`](Self::hung_up) waits for, as one of many things to [wait for](crate::Io#method.select).
    ///
    /// # Errors
    ///
    /// As of [`on_readable`](Self::on_readable).
    pub fn on_hung_up(&self) -> impl Selectable<Output = io::Result<()>> + '_ {
        Readiness::of(self.descriptor(), Interest::HungUp)
    }
}

/// A descriptor's being ready, to be waited for. What cannot be watched comes to the error at once.
struct Readiness<'a> {
    descriptor: &'a Descriptor,
    interest: Interest,
    /// A duplicate, since a descriptor is watched once at a time, and others may wait for this one too.
    watch: OnceCell<io::Result<(OwnedFd, Watch)>>,
}

impl<'a> Readiness<'a> {
    fn of(descriptor: &'a Descriptor, interest: Interest) -> Self {
        Self { descriptor, interest, watch: OnceCell::new() }
    }

    fn is_ready(&self) -> bool {
        // Whoever takes it for ready is told by the operation that follows.
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
