//! Regions that requests from outside do not reach.

use crate::Io;
use crate::context;

impl<'io> dyn Io + 'io {
    /// Runs `f` shielded from requests that come from outside of it: they wait and are delivered
    /// after it. A timeout opened inside it fires. Nests.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// /// Says goodbye, also when this task was told to end; but not for longer than a second.
    /// fn leave(io: &dyn Io, stream: &TcpStream) -> std::io::Result<()> {
    ///     io.shield(|io| io.timeout(Duration::from_secs(1), |io| stream.write_all(io, b"bye\n")))
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; what is inside of it are points that no request from outside reaches.
    pub fn shield<T>(&self, f: impl FnOnce(&dyn Io) -> T) -> T {
        context::current(|context| {
            let _guard = context.push_shield();
            f(self)
        })
    }
}
