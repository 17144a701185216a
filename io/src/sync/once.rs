//! Values that are made once, by an initialiser that may suspend.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::marker::PhantomData;

use super::event::Event;
use super::forms::{Until, uncancelable};
use crate::select::Selectable;
use crate::waiting::Semaphore;
use crate::{Canceled, Io};

/// A value that is made once. Its initialiser may suspend; others who want the value wait meanwhile.
///
/// An initialiser that panics, fails or is canceled leaves the cell empty: the longest waiting tries next.
/// One that asks for the same cell waits for itself.
pub struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    /// Has one permit, for who initialises.
    turn: Semaphore,
    /// Set when the value is there, for those who wait and make none.
    made: Event,
}

impl<T> OnceLock<T> {
    /// Makes an empty cell.
    pub const fn new() -> Self {
        Self { value: std::sync::OnceLock::new(), turn: Semaphore::new(1), made: Event::new() }
    }

    /// The value, if it is there. Never suspends.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value, if it is there.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Sets the value. Never suspends.
    ///
    /// # Errors
    ///
    /// The value, when there is one already or somebody is making it.
    pub fn set(&self, value: T) -> Result<(), T> {
        match self.turn.try_acquire() {
            Some(_turn) => self.value.set(value).map(|()| self.made.set()),
            None => Err(value),
        }
    }

    /// Waits until there is a value, which others [set](Self::set) or make.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the value is there.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<&T, Canceled> {
        self.made.wait(io).map(|()| self.there())
    }

    /// There being a value, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_wait(&self) -> impl Selectable<Output = &T> {
        self.made.on_wait().map(|()| self.there())
    }

    /// As [`wait`](Self::wait), whatever is requested meanwhile.
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

    /// The value; made by `init` if it is not there.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the value is there. `init` may have its own.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn get_or_init(&self, io: &dyn Io, init: impl FnOnce() -> T) -> Result<&T, Canceled> {
        self.get_until(io, Until::Canceled, infallible(init)).map(made)
    }

    /// As [`get_or_init`](Self::get_or_init), whatever is requested meanwhile; of the cancellation points of
    /// `init` it takes nothing away.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn get_or_init_uncancelable(&self, io: &dyn Io, init: impl FnOnce() -> T) -> &T {
        made(uncancelable(|until| self.get_until(io, until, infallible(init))))
    }

    /// As [`get_or_init`](Self::get_or_init), with an initialiser that can fail.
    ///
    /// # Cancellation
    ///
    /// As `get_or_init`.
    ///
    /// # Errors
    ///
    /// [`Canceled`], as the initialiser's error; or what it returns.
    pub fn get_or_try_init<E: From<Canceled>>(
        &self,
        io: &dyn Io,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        self.get_until(io, Until::Canceled, init)?
    }

    /// As [`get_or_init_uncancelable`](Self::get_or_init_uncancelable), with an initialiser that can fail.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// The initialiser's.
    pub fn get_or_try_init_uncancelable<E>(&self, io: &dyn Io, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        uncancelable(|until| self.get_until(io, until, init))
    }

    /// The outer error is that of the wait, the inner one the initialiser's.
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
        // Given back by whatever ends the initialiser.
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

/// Something that is done once: an [`OnceLock`] without a value.
#[derive(Debug, Default)]
pub struct Once {
    done: OnceLock<()>,
}

impl Once {
    /// Makes one that is not done.
    pub const fn new() -> Self {
        Self { done: OnceLock::new() }
    }

    /// Whether it is done.
    pub fn is_completed(&self) -> bool {
        self.done.get().is_some()
    }

    /// Runs `f` unless it is done, or waits for who runs it; when that one panics, the next runs its own.
    ///
    /// # Cancellation
    ///
    /// As [`OnceLock::get_or_init`].
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn call_once(&self, io: &dyn Io, f: impl FnOnce()) -> Result<(), Canceled> {
        self.done.get_or_init(io, f).copied()
    }

    /// As [`call_once`](Self::call_once), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn call_once_uncancelable(&self, io: &dyn Io, f: impl FnOnce()) {
        self.done.get_or_init_uncancelable(io, f);
    }
}

/// A value that is made when it is first wanted: an [`OnceLock`] with its initialiser.
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
    /// Makes one whose value `init` will make. After a failure it is called again, by who wants the value next.
    pub const fn new(init: F) -> Self {
        Self { cell: OnceLock::new(), init, fails_with: PhantomData }
    }

    /// The value, if it was made. Never suspends.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.cell.get()
    }

    /// The value, made if it is not there.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the value is there. The initialiser may have its own; when it is
    /// canceled, the next tries.
    ///
    /// # Errors
    ///
    /// [`Canceled`], as the initialiser's error; or what it returns.
    pub fn force(&self, io: &dyn Io) -> Result<&T, E>
    where
        E: From<Canceled>,
    {
        self.cell.get_or_try_init(io, || (self.init)(io))
    }

    /// As [`force`](Self::force), whatever is requested meanwhile; of the cancellation points of the initialiser
    /// it takes nothing away.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Errors
    ///
    /// The initialiser's.
    pub fn force_uncancelable(&self, io: &dyn Io) -> Result<&T, E> {
        self.cell.get_or_try_init_uncancelable(io, || (self.init)(io))
    }
}

impl<T: fmt::Debug, E, F> fmt::Debug for LazyLock<T, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyLock").field(&self.cell).finish()
    }
}
