//! Values of which each task has its own.

use std::fmt;
use std::ptr;
use std::rc::Rc;

use crate::context::{self, Locals};

/// A value of which each task has its own; made by [`fiber_local!`](crate::fiber_local).
///
/// It is made when the task asks for it first, and dropped when the task ends, before whoever joins it
/// knows. A task stays on its thread, so the value need not be `Send`. A task that runs inline, on top of
/// another, has its own too. Outside of every task the value is the thread's.
///
/// Use it for what concerns everything that a task does and nothing that it returns: the number of the
/// request that it serves, for a logger. It does not pass to the tasks that a task starts; hand
/// them what they need.
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

    /// Calls `f` with the running task's value, which is made if it is not there yet.
    ///
    /// The values are dropped in the order opposite to that in which they were made. In the destructor of
    /// one that was made earlier the value is a new one, and so it may be when a thread ends.
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
        // Outside of the borrow: it may use other values, or this one, which then is there first.
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

/// Declares values of which each task has its own: as `thread_local!`, for tasks.
///
/// ```
/// use std::cell::Cell;
/// use iolite_io::{Io, fiber_local};
///
/// fiber_local! {
///     /// The request that the task serves.
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
///             group.spawn_waiting(io, move |_| {
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
