//! Accepting a connection as a source of `select`.

use std::cell::OnceCell;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SocketFlags, acceptfrom_with};

use super::socket::{Family, Listener, Stream, TypedSocket, of_family};
use crate::context::Unparker;
use crate::descriptor::Descriptor;
use crate::fd_watcher::{self, Watch};
use crate::operation::address::address_from_kernel;
use crate::operation::{Address, Interest, UnixAddress};
use crate::select::{OnPolled, Polled, Selectable};
use crate::syscalls::is_ready;
use crate::waiting::Choice;

impl<F: Family> TypedSocket<F, Listener> {
    /// Returns a source that accepts the next connection; its output is the connection. For
    /// [`select`](crate::Io#method.select). If another source wins, no connection was accepted. Any number of tasks may
    /// wait for the same listener; each connection goes to one of them.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpListener, sync::Event, select::OneOf2};
    ///
    /// fn serve(io: &dyn Io, listener: &TcpListener, stop: &Event) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         while let OneOf2::Second(accepted) = io.select((stop.on_wait(), listener.on_accept()))? {
    ///             let (stream, _) = accepted?;
    ///             group.spawn_waiting(move |io| stream.write_all(io, b"hello"))?;
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// A wait that finds no connection at once uses a file descriptor for the duration of the wait. If the listener
    /// comes from other code and blocks, each attempt puts it into non-blocking mode for a moment, which every holder
    /// of the same open socket can see.
    ///
    /// If no descriptor is free for a connection, this source is ready at once with that error, and does not pause first as
    /// [`accept`](Self::accept) does. A loop that continues after errors has to pause by itself.
    ///
    /// This source calls `accept` itself: an `Io` that changes operations, such as [`Faulty`](crate::testing::Faulty),
    /// does not see it.
    ///
    /// # Errors
    ///
    /// The output is an error of [`accept`](Self::accept) or of `epoll_ctl`, or says that no descriptor is left for the
    /// wait.
    pub fn on_accept(&self) -> impl Selectable<Output = io::Result<(TypedSocket<F, Stream>, F::Address)>> + '_ {
        OnPolled::of(Accepting { listener: self.descriptor(), watch: OnceCell::new(), family: PhantomData::<F> })
    }
}

/// Accepts the next connection.
struct Accepting<'a, F> {
    listener: &'a Descriptor,
    /// A duplicate, because a descriptor can be watched only once at a time and others may wait for this listener too.
    /// It is watched once, because edges are reported again and again.
    watch: OnceCell<(OwnedFd, Watch)>,
    family: PhantomData<F>,
}

impl<F> Accepting<'_, F> {
    fn watch(&self, waiter: Unparker) -> io::Result<()> {
        if self.watch.get().is_none() {
            let own = rustix::io::fcntl_dupfd_cloexec(self.listener, 0)?;
            let watch = fd_watcher::watch_for(own.as_fd(), Interest::Readable, waiter)?;
            self.watch.get_or_init(|| (own, watch));
        }
        Ok(())
    }
}

impl<F: Family> Polled for Accepting<'_, F> {
    type Output = io::Result<(TypedSocket<F, Stream>, F::Address)>;

    fn take(&self, comer: Option<&Choice>) -> Option<Self::Output> {
        let accept = || accept_now(self.listener).transpose();
        let accepted = match comer {
            None => accept(),
            // Watched first, so that a connection that arrives in between is either found or reported. Accepted under
            // the lock of the choice, because a connection cannot be put back; the system call never waits.
            Some(choice) => match self.watch(choice.unparker()) {
                Ok(()) => choice.decide_if(accept),
                Err(error) => choice.decide().then_some(Err(error)),
            },
        };
        accepted.map(|accepted| {
            let (connection, peer) = accepted?;
            Ok((TypedSocket::from(connection), of_family::<F>(peer)?))
        })
    }

    fn forget(&self, _: Unparker) {
        if let Some((own, watch)) = self.watch.get() {
            fd_watcher::unwatch(own.as_fd(), watch);
        }
    }
}

/// Accepts a pending connection. Never waits; returns `None` if there is none.
fn accept_now(listener: &Descriptor) -> io::Result<Option<(OwnedFd, Address)>> {
    // `accept` has no flag of its own for that. A listener that was made here does not block anyway.
    let _nonblocking = listener.nonblocking()?;
    match retry_on_intr(|| acceptfrom_with(listener, SocketFlags::CLOEXEC)) {
        Ok((connection, peer)) => {
            let peer = peer.map(address_from_kernel).transpose()?;
            Ok(Some((connection, peer.unwrap_or(Address::Unix(UnixAddress::unnamed())))))
        }
        Err(Errno::AGAIN) => Ok(None),
        // The kernel looks for a free descriptor first, even if there is no connection to accept.
        Err(Errno::MFILE | Errno::NFILE) if !is_ready(listener, Interest::Readable)? => Ok(None),
        Err(error) => Err(error.into()),
    }
}
