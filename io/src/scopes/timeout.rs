//! Timeouts.

use std::time::Duration;

use crate::Io;
use crate::cancel::{CarriesCanceled, TimedOut};
use crate::context;
use crate::time::Instant;

#[cfg(doc)]
use crate::Canceled;
#[cfg(doc)]
use std::io;

impl<'io> dyn Io + 'io {
    /// Runs `f` with a time limit: when `duration` is over, a cancellation point in `f` returns [`Canceled`], once. The
    /// same holds in each of the tasks that are started within `f`.
    ///
    /// An `Ok` always wins. An error becomes [`TimedOut`](crate::TimedOut) only if it carries the request of this very
    /// timeout. So nested timeouts and cancellations from outside can be told apart. A closure in which `?` is applied
    /// to several error types has to name its own, as with `io::Result::Ok` here:
    ///
    /// ```
    /// use std::{io, time::Duration};
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// fn ask(io: &dyn Io, question: &[u8]) -> io::Result<Vec<u8>> {
    ///     io.timeout(Duration::from_secs(5), |io| {
    ///         let stream = io.timeout(Duration::from_secs(1), |io| TcpStream::connect(io, "oracle.example:4000"))?;
    ///         stream.write_all(io, question)?;
    ///         let mut answer = Vec::new();
    ///         stream.read_to_end(io, &mut answer)?;
    ///         io::Result::Ok(answer)
    ///     })
    /// }
    /// ```
    ///
    /// The `io` that `f` is given is this same `Io`, and calls through another reference to it count as well.
    ///
    /// A timeout reaches the tasks that are started within `f`, but not a task or a group for which a call in `f` only
    /// waits: [`Task::join`](crate::Task::join) and [`Group::wait`](crate::Group::wait) then go on until that ends. To
    /// limit such a wait, [`select`](crate::Io#method.select) from `on_finish()` and a deadline, and then `abort`.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point itself: nothing ends before `f` reaches a point. Therefore a timeout never stops a
    /// computation.
    ///
    /// # Errors
    ///
    /// The error of `f`, or its form of `TimedOut`. For [`io::Error`] that is
    /// [`ErrorKind::TimedOut`](io::ErrorKind::TimedOut), with the [`Incomplete`](crate::Incomplete) of `f`'s error, if
    /// it had one.
    pub fn timeout<T, E: CarriesCanceled>(
        &self,
        duration: Duration,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<T, E::OrTimedOut> {
        self.timeout_at(self.now() + duration, f)
    }

    /// Runs `f` with a deadline; works like [`timeout`](crate::Io#method.timeout).
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point itself; see `timeout`.
    ///
    /// # Errors
    ///
    /// See `timeout`.
    pub fn timeout_at<T, E: CarriesCanceled>(
        &self,
        deadline: Instant,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<T, E::OrTimedOut> {
        context::current(|context| {
            let (id, guard) = context.push_timeout(deadline);
            let result = f(self);
            drop(guard);
            result.map_err(|error| {
                if error.canceled().is_some_and(|canceled| canceled.is_from(id)) {
                    error.into_timed_out()
                } else {
                    error.into_or_timed_out()
                }
            })
        })
    }

    /// Runs `f` with a time limit, for errors into which iolite cannot look: those of other crates, such as `anyhow`'s,
    /// and text. Two `?` take the result apart, as after a timeout of tokio. Works like
    /// [`timeout`](crate::Io#method.timeout) otherwise.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use anyhow::Context;
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// fn ask(io: &dyn Io, question: &[u8]) -> anyhow::Result<String> {
    ///     let stream = TcpStream::connect(io, "oracle.example:4000").context("connecting")?;
    ///     stream.write_all(io, question).context("asking")?;
    ///     let mut answer = Vec::new();
    ///     stream.read_to_end(io, &mut answer).context("listening")?;
    ///     Ok(String::from_utf8(answer)?)
    /// }
    ///
    /// fn ask_for_a_second(io: &dyn Io, question: &[u8]) -> anyhow::Result<String> {
    ///     let answer = io.timeout_any(Duration::from_secs(1), |io| ask(io, question)).context("asking the oracle")??;
    ///     Ok(answer)
    /// }
    /// ```
    ///
    /// Because it cannot look into the error, it decides by two facts: `f` has failed, and before that the request of
    /// this very timeout had reached `f` or a task that was started in it. The error of `f` is then dropped.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point itself; see `timeout`.
    ///
    /// # Errors
    ///
    /// Returns [`TimedOut`] if a cancellation point in `f` has returned [`Canceled`] because the time was over, that
    /// `Canceled` was not handed back, and `f` has failed. Every other result of `f` is in the `Ok`, including a
    /// failure without such a request, even one after that time.
    pub fn timeout_any<T, E>(
        &self,
        duration: Duration,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<Result<T, E>, TimedOut> {
        self.timeout_any_at(self.now() + duration, f)
    }

    /// Runs `f` with a deadline; works like [`timeout_any`](crate::Io#method.timeout_any).
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point itself; see `timeout`.
    ///
    /// # Errors
    ///
    /// See `timeout_any`.
    pub fn timeout_any_at<T, E>(
        &self,
        deadline: Instant,
        f: impl FnOnce(&dyn Io) -> Result<T, E>,
    ) -> Result<Result<T, E>, TimedOut> {
        context::current(|context| {
            let (id, _guard) = context.push_timeout(deadline);
            match f(self) {
                Err(_) if context.has_delivered(id) => Err(TimedOut),
                result => Ok(result),
            }
        })
    }
}
