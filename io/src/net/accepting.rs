//! Accepting a connection as one of many things to wait for.

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
    /// Accepting the next connection, as one of many things to [wait for](crate::Io#method.select). Where another one wins,
    /// none was accepted; any number of tasks may wait for the same listener, of which one gets each connection.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpListener, sync::Event, select::OneOf2};
    ///
    /// fn serve(io: &dyn Io, listener: &TcpListener, stop: &Event) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         while let OneOf2::Second(accepted) = io.select((stop.on_wait(), listener.on_accept()))? {
    ///             let (stream, _) = accepted?;
    ///             group.spawn_waiting(io, move |io| stream.write_all(io, b"hello"))?;
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// A wait that finds nobody at once takes a descriptor for as long as it waits. A listener of somebody else's that blocks
    /// is in non-blocking mode for the moment of each look, which others who have the same open socket see.
    ///
    /// It accepts by itself: an `Io` that changes operations, such as [`Faulty`](crate::testing::Faulty), does not see it.
    ///
    /// # Errors
    ///
    /// Of what it comes to: those of [`accept`](Self::accept); when no descriptor is left to wait with; those of
    /// `epoll_ctl`.
    pub fn on_accept(&self) -> impl Selectable<Output = io::Result<(TypedSocket<F, Stream>, F::Address)>> + '_ {
        OnPolled::of(Accepting { listener: self.descriptor(), watch: OnceCell::new(), family: PhantomData::<F> })
    }
}

/// A connection to come.
struct Accepting<'a, F> {
    listener: &'a Descriptor,
    /// A duplicate, since a descriptor is watched once at a time, and others may wait for this one too. Edges are told again
    /// and again, so it is watched once.
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
            // Watched first: who comes in between is found, or told. And accepted under the choice's lock, since nobody can
            // put a connection back: a system call that never waits.
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

/// Accepts who is there. Never waits; `None` when nobody is.
fn accept_now(listener: &Descriptor) -> io::Result<Option<(OwnedFd, Address)>> {
    // The call has no flag of its own for that. A listener made here does not block anyway.
    let _nonblocking = listener.nonblocking()?;
    match retry_on_intr(|| acceptfrom_with(listener, SocketFlags::CLOEXEC)) {
        Ok((connection, peer)) => {
            let peer = peer.map(address_from_kernel).transpose()?;
            Ok(Some((connection, peer.unwrap_or(Address::Unix(UnixAddress::unnamed())))))
        }
        Err(Errno::AGAIN) => Ok(None),
        // The kernel looks for a free number first, also when there is nobody to accept.
        Err(Errno::MFILE | Errno::NFILE) if !is_ready(listener, Interest::Readable)? => Ok(None),
        Err(error) => Err(error.into()),
    }
}
