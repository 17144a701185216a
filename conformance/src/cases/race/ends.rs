//! Completion against a request and against a timeout, on every kind of call: it has done all that it says and nothing
//! else, which a ledger outside of the `Io` proves; and two calls against each other.

use std::io;
use std::time::Duration;

use iolite_io::Io;
use iolite_io::sync::Event;

use crate::tools::{Start, attempt, concurrently, scope, spin};

/// What ends a call that has not completed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Request,
    Timeout,
}

/// After which time [`By::Timeout`] does it.
pub(crate) const TIMEOUT: Duration = Duration::from_micros(200);

impl By {
    /// One round: a task makes a call, while its completion and its end are let go. What it came to; nothing when it
    /// was ended before.
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

    /// As [`ends`](Self::ends), for a call that nobody has to complete: what is let go is its beginning.
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

/// As [`attempt`], with a timeout instead of the request.
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
