//! Shields: regions that requests from outside do not reach.

use crate::Io;
use crate::context;

impl<'io> dyn Io + 'io {
    /// Runs `f` without delivering requests from outside: they wait until `f` has returned. A timeout that is opened inside
    /// `f` still works. Shields nest.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// /// Says goodbye even if this task was told to end, but takes no longer than a second.
    /// fn leave(io: &dyn Io, stream: &TcpStream) -> std::io::Result<()> {
    ///     io.shield(|io| io.timeout(Duration::from_secs(1), |io| stream.write_all(io, b"bye\n")))
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. The calls inside `f` are points, but no request from outside reaches them.
    pub fn shield<T>(&self, f: impl FnOnce(&dyn Io) -> T) -> T {
        context::current(|context| {
            let _guard = context.push_shield();
            f(self)
        })
    }
}
