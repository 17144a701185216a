//! An `Io` on which everything fails.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::errors::error_of;
use crate::runnable::{ConcurrencyUnavailable, Refused, SpawnErrorKind, SpawnMode, Start};
use crate::{
    Backend, Instant, Io, context,
    operation::{Operation, Output},
    time,
};

/// An `Io` on which every operation fails, with an error that a program has to expect of it
/// (no free descriptor, connection refused, disk full). It has no unit of concurrency either: tasks of
/// `spawn_async` run inline, others are refused.
///
/// Time passes, and locks and channels work, since they are not operations. It needs no runtime.
///
/// ```
/// use iolite_io::Io;
/// use iolite_io::net::TcpStream;
/// use iolite_io::testing::Failing;
///
/// let io: &dyn Io = &Failing;
/// let error = io.spawn_async(|io| TcpStream::connect(io, "127.0.0.1:80")).join(io).unwrap_err();
/// assert!(error.raw_os_error().is_some());
/// assert!(io.spawn_concurrent(|_| ()).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Failing;

impl Io for Failing {
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        let kind = match how {
            SpawnMode::Waiting => context::current(|context| context.check(self)).err().map(SpawnErrorKind::Canceled),
            _ => None,
        };
        let unavailable = || ConcurrencyUnavailable::limit_reached("concurrent_limit", 0);
        Err(Refused { start, kind: kind.unwrap_or_else(|| SpawnErrorKind::ConcurrencyUnavailable(unavailable())) })
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        if operation.is_point() {
            context::current(|context| context.check(self))?;
        }
        Err(error_of(&operation, 0))
    }

    fn now(&self) -> Instant {
        time::monotonic_now()
    }

    fn random(&self, _bytes: &mut [u8]) -> io::Result<()> {
        Err(Errno::NOSYS.into())
    }

    fn backend(&self) -> Backend {
        Backend { name: "failing", executors: 1, detail: "every operation fails".to_owned() }
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        Some(Arc::new(Self))
    }
}
