//! Name lookups of one's own.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use crate::io::Multishot;
use crate::{
    Io,
    decorator::Decorator,
    operation::{Operation, Output},
};

/// What looks host names up.
pub trait Resolver: Send + Sync {
    /// The addresses of a host, in the order in which to try them; none when it is not known. It is not asked
    /// for IP literals and `localhost`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, where it waits for something.
    ///
    /// # Errors
    ///
    /// When the lookup fails; the error names the host.
    fn resolve(&self, io: &dyn Io, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The same `Io` with other name lookups: for it, and for the tasks that are started through it, names
/// mean what `resolver` says. What `resolver` itself does goes through the `Io` that was given.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use std::sync::Arc;
///
/// use iolite_io::Io;
/// use iolite_io::net::{Resolver, TcpStream, with_resolver};
///
/// struct Fixed;
///
/// impl Resolver for Fixed {
///     fn resolve(&self, _: &dyn Io, _: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
///         Ok(vec![(Ipv4Addr::LOCALHOST, port).into()])
///     }
/// }
///
/// fn connect(io: Arc<dyn Io>) -> std::io::Result<TcpStream> {
///     TcpStream::connect(&*with_resolver(io, Arc::new(Fixed)), "database.internal:5432")
/// }
/// ```
pub fn with_resolver(io: Arc<dyn Io>, resolver: Arc<dyn Resolver>) -> Arc<dyn Io> {
    Arc::new_cyclic(|this| WithResolver { io, resolver, this: this.clone() })
}

struct WithResolver {
    io: Arc<dyn Io>,
    resolver: Arc<dyn Resolver>,
    this: Weak<Self>,
}

impl fmt::Debug for WithResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithResolver").field("io", &self.io).finish_non_exhaustive()
    }
}

impl Decorator for WithResolver {
    fn inner(&self) -> &dyn Io {
        &*self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        match operation {
            Operation::Resolve { host, port } => self.resolver.resolve(&*self.io, host, port).map(Output::Addresses),
            other => self.io.operate(other),
        }
    }

    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        self.io.multishot()
    }
}
