//! Completions that race a request or a timeout, on every kind of call: the call has done everything that its result
//! says and nothing else, which a ledger outside of the `Io` proves. Two calls also race each other.

use std::io;
use std::time::Duration;

use iolite_io::Io;
use iolite_io::sync::Event;

use crate::tools::{Start, attempt, concurrently, scope, spin};

/// The event that ends a call that has not completed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Request,
    Timeout,
}

/// The time after which [`By::Timeout`] ends a call.
pub(crate) const TIMEOUT: Duration = Duration::from_micros(200);

impl By {
    /// Runs one round: a task makes a call, while its completion and its end are released. Returns the result of the
    /// call, or nothing if it was ended before.
    pub(crate) fn ends<T: Send>(
        self,
        io: &dyn Io,
        start: Start,
        call: impl FnOnce(&dyn Io) -> io::Result<T> + Send,
        complete: impl FnOnce(),
    ) -> Option<T> {
        match self {
            Self::Request => attempt(io, start, call, complete),
            Self::Timeout => timed_attempt(io, start, call, complete),
        }
    }

    /// Works like [`ends`](Self::ends), for a call that completes by itself: its beginning is released instead of its
    /// completion.
    pub(crate) fn ends_begun<T: Send>(
        self,
        io: &dyn Io,
        start: Start,
        call: impl FnOnce(&dyn Io) -> io::Result<T> + Send,
    ) -> Option<T> {
        let begin = Event::new();
        let call = |io: &dyn Io| {
            begin.wait_uncancelable(io);
            call(io)
        };
        self.ends(io, start, call, || begin.set())
    }
}

/// Works like [`attempt`], with a timeout instead of the request.
fn timed_attempt<T: Send>(
    io: &dyn Io,
    start: Start,
    call: impl FnOnce(&dyn Io) -> io::Result<T> + Send,
    complete: impl FnOnce(),
) -> Option<T> {
    let (started, completed) = (Event::new(), Event::new());
    scope(io, |group| {
        let member = concurrently(group, |io| {
            started.set();
            let result = io.timeout(TIMEOUT, call);
            completed.wait_uncancelable(io);
            (result, io.check_cancel())
        });
        started.wait_uncancelable(io);
        spin(start.completion_delay(TIMEOUT));
        complete();
        completed.set();
        let (result, after) = member.join(io);
        after.expect("a timeout asks nobody who is outside of it to stop");
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                None
            }
        }
    })
}
