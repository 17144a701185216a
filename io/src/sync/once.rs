//! Values that are made once, by an initializer that may suspend.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::marker::PhantomData;

use super::event::Event;
use super::forms::{Until, uncancelable};
use crate::select::Selectable;
use crate::waiting::Semaphore;
use crate::{Canceled, Io};

/// A value that is made once. Its initializer may suspend; other contexts that want the value wait for it.
///
/// If an initializer panics, fails or is canceled, the cell stays empty, and the context that has waited longest tries
/// next. An initializer that asks for its own cell waits for itself.
pub struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    /// Has one permit, for the context that initializes.
    turn: Semaphore,
    /// Set when the value exists; for contexts that wait without making a value.
    made: Event,
}

impl<T> OnceLock<T> {
    /// Makes an empty cell.
    pub const fn new() -> Self {
        Self { value: std::sync::OnceLock::new(), turn: Semaphore::new(1), made: Event::new() }
    }

    /// Returns the value if there is one. Never suspends.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Returns the value if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Returns the value if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Sets the value. Never suspends.
    ///
    /// # Errors
    ///
    /// Returns `value` if there is a value already or a context is making one.
    pub fn set(&self, value: T) -> Result<(), T> {
        match self.turn.try_acquire() {
            Some(_turn) => self.value.set(value).map(|()| self.made.set()),
            None => Err(value),
        }
    }

    /// Waits until other contexts have [set](Self::set) or made a value, and returns it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is a value.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<&T, Canceled> {
        self.made.wait(io).map(|()| self.there())
    }

    /// Returns a source that is ready when there is a value. For [`select`](crate::Io#method.select).
    pub fn on_wait(&self) -> impl Selectable<Output = &T> {
        self.made.on_wait().map(|()| self.there())
    }

    /// Waits until other contexts have set or made a value, and returns it. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable(&self, io: &dyn Io) -> &T {
        self.made.wait_uncancelable(io);
        self.there()
    }

    fn there(&self) -> &T {
        self.value.get().expect("`made` is set after the value is")
    }

    /// Returns the value; makes it with `init` if there is none.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is a value. `init` may have cancellation points of its own.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn get_or_init(&self, io: &dyn Io, init: impl FnOnce() -> T) -> Result<&T, Canceled> {
        self.get_until(io, Until::Canceled, infallible(init)).map(made)
    }

    /// Returns the value; makes it with `init` if there is none. Requests do not end the wait; cancellation points
    /// inside `init` still work.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn get_or_init_uncancelable(&self, io: &dyn Io, init: impl FnOnce() -> T) -> &T {
        made(uncancelable(|until| self.get_until(io, until, infallible(init))))
    }

    /// Returns the value; makes it with an initializer that can fail if there is none.
    ///
    /// # Cancellation
    ///
    /// See `get_or_init`.
    ///
    /// # Errors
    ///
    /// [`Canceled`], converted to the error type of the initializer; or the error that the initializer returns.
    pub fn get_or_try_init<E: From<Canceled>>(
        &self,
        io: &dyn Io,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        self.get_until(io, Until::Canceled, init)?
    }

    /// Returns the value; makes it with an initializer that can fail if there is none. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// The error of the initializer.
    pub fn get_or_try_init_uncancelable<E>(&self, io: &dyn Io, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        uncancelable(|until| self.get_until(io, until, init))
    }

    /// The outer error is that of the wait, the inner one that of the initializer.
    fn get_until<E>(
        &self,
        io: &dyn Io,
        until: Until,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<&T, E>, Canceled> {
        if let Some(value) = self.get() {
            until.check(io)?;
            return Ok(Ok(value));
        }
        // Released however the initializer ends.
        let _turn = self.turn.acquire_until(io, 1, until)?;
        if let Some(value) = self.get() {
            return Ok(Ok(value));
        }
        Ok(init().map(|value| {
            let value = self.value.get_or_init(|| value);
            self.made.set();
            value
        }))
    }
}

fn infallible<T>(init: impl FnOnce() -> T) -> impl FnOnce() -> Result<T, Infallible> {
    || Ok(init())
}

fn made<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self { value: std::sync::OnceLock::from(value), ..Self::new() };
        cell.made.set();
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(value) => f.debug_tuple("OnceLock").field(value).finish(),
            None => f.debug_tuple("OnceLock").field(&format_args!("<empty>")).finish(),
        }
    }
}

/// An action that is done once: an [`OnceLock`] without a value.
#[derive(Debug, Default)]
pub struct Once {
    done: OnceLock<()>,
}

impl Once {
    /// Makes a `Once` that is not done.
    pub const fn new() -> Self {
        Self { done: OnceLock::new() }
    }

    /// Returns true if the action is done.
    pub fn is_completed(&self) -> bool {
        self.done.get().is_some()
    }

    /// Runs `f` if the action is not done, or waits for the context that runs it. If that one panics, the next waiter
    /// runs its own `f`.
    ///
    /// # Cancellation
    ///
    /// See [`OnceLock::get_or_init`].
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn call_once(&self, io: &dyn Io, f: impl FnOnce()) -> Result<(), Canceled> {
        self.done.get_or_init(io, f).copied()
    }

    /// Runs `f` like [`call_once`](Self::call_once). Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn call_once_uncancelable(&self, io: &dyn Io, f: impl FnOnce()) {
        self.done.get_or_init_uncancelable(io, f);
    }
}

/// A value that is made on first use: an [`OnceLock`] with its initializer.
///
/// # Examples
///
/// ```
/// use std::io;
/// use iolite_io::{Io, fs::File, sync::LazyLock};
///
/// static HOSTS: LazyLock<String> = LazyLock::new(|io| {
///     let mut hosts = Vec::new();
///     File::open(io, "/etc/hosts")?.read_to_end(io, &mut hosts)?;
///     String::from_utf8(hosts).map_err(io::Error::other)
/// });
///
/// fn count_of_hosts(io: &dyn Io) -> io::Result<usize> {
///     Ok(HOSTS.force(io)?.lines().count())
/// }
/// ```
pub struct LazyLock<T, E = io::Error, F = fn(&dyn Io) -> Result<T, E>> {
    cell: OnceLock<T>,
    init: F,
    fails_with: PhantomData<fn() -> E>,
}

impl<T, E, F: Fn(&dyn Io) -> Result<T, E>> LazyLock<T, E, F> {
    /// Makes a lock whose value `init` will make. After a failure, the next context that wants the value calls `init`
    /// again.
    pub const fn new(init: F) -> Self {
        Self { cell: OnceLock::new(), init, fails_with: PhantomData }
    }

    /// Returns the value if it was made. Never suspends.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.cell.get()
    }

    /// Returns the value; makes it if there is none.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if there is a value. The initializer may have cancellation points of its own; if it
    /// is canceled, the next context tries.
    ///
    /// # Errors
    ///
    /// [`Canceled`], converted to the error type of the initializer; or the error that the initializer returns.
    pub fn force(&self, io: &dyn Io) -> Result<&T, E>
    where
        E: From<Canceled>,
    {
        self.cell.get_or_try_init(io, || (self.init)(io))
    }

    /// Returns the value; makes it if there is none. Requests do not end the wait; cancellation points inside the
    /// initializer still work.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// The error of the initializer.
    pub fn force_uncancelable(&self, io: &dyn Io) -> Result<&T, E> {
        self.cell.get_or_try_init_uncancelable(io, || (self.init)(io))
    }
}

impl<T: fmt::Debug, E, F> fmt::Debug for LazyLock<T, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyLock").field(&self.cell).finish()
    }
}
