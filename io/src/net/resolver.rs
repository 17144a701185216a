//! Custom name lookups.

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

/// Looks up host names.
pub trait Resolver: Send + Sync {
    /// Returns the addresses of a host in the order in which to try them, or none if the host is not known. It is not
    /// called for IP literals and `localhost`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point if it waits.
    ///
    /// # Errors
    ///
    /// Returns an error that names the host if the lookup fails.
    fn resolve(&self, io: &dyn Io, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Returns the same `Io` with other name lookups: calls through it, and through the `Io` of the tasks that are started
/// with it, look up names with `resolver`. The calls that `resolver` itself makes go through the original `Io`.
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
