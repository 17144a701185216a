//! Task-local values.

use std::fmt;
use std::ptr;
use std::rc::Rc;

use crate::context::{self, Locals};

/// A task-local value: each task has its own. Made by [`fiber_local!`](crate::fiber_local).
///
/// The value is made when the task first asks for it, and dropped when the task ends, before a joiner learns of the
/// end. A task stays on its thread, so the value need not be `Send`. A task that runs inline, on top of another, has
/// its own value too. Outside of every task, the value belongs to the thread.
///
/// Use it for a fact that concerns everything that a task does but nothing that it returns, such as the number of the
/// request that it serves, for a logger. The tasks that a task starts do not inherit it; pass them what they need.
pub struct FiberLocal<T: 'static> {
    make: fn() -> T,
}

impl<T> fmt::Debug for FiberLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FiberLocal").finish_non_exhaustive()
    }
}

impl<T> FiberLocal<T> {
    #[doc(hidden)]
    pub const fn new(make: fn() -> T) -> Self {
        Self { make }
    }

    /// Calls `f` with the value of the running task, which is made if it does not exist yet.
    ///
    /// Values are dropped in the reverse order of their creation. The destructor of an earlier value that asks for this
    /// one gets a new value; the same may happen when a thread ends.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        f(&context::current(|context| context.locals(|locals| self.find(locals)).unwrap_or_else(|| self.make())))
    }

    fn find(&'static self, locals: &mut Locals) -> Option<Rc<T>> {
        let key = ptr::from_ref(self).cast();
        let (_, value) = locals.0.iter().find(|(other, _)| *other == key)?;
        value.clone().downcast().ok()
    }

    #[cold]
    fn make(&'static self) -> Rc<T> {
        // Outside of the borrow: `make` may use other values, or this one, which then exists first.
        let value = Rc::new((self.make)());
        context::current(|context| {
            context.locals(|locals| {
                self.find(locals).unwrap_or_else(|| {
                    locals.0.push((ptr::from_ref(self).cast(), value.clone()));
                    value.clone()
                })
            })
        })
    }
}

/// Declares task-local values, like `thread_local!` for tasks.
///
/// ```
/// use std::cell::Cell;
/// use iolite_io::{Io, fiber_local};
///
/// fiber_local! {
/// /// The number of the request that the task serves.
///     static REQUEST: Cell<u64> = Cell::new(0);
/// }
///
/// fn log(text: &str) {
///     REQUEST.with(|request| eprintln!("{}: {text}", request.get()));
/// }
///
/// fn serve(io: &dyn Io, requests: u64) -> Result<(), std::io::Error> {
///     io.group(|group| {
///         for number in 1..=requests {
///             group.spawn_waiting(move |_| {
///                 REQUEST.with(|request| request.set(number));
///                 log("begins");
///             })?;
///         }
///         Ok(())
///     })
/// }
/// ```
#[macro_export]
macro_rules! fiber_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr);* $(;)?) => {
        $(
            $(#[$attribute])*
            $visibility static $name: $crate::task::FiberLocal<$type> = $crate::task::FiberLocal::new(|| $value);
        )*
    };
}
