//! The base of iolite's fibers: stacks, the switch between them, and a report of stack overflows that names the task.
//!
//! Programs do not use this crate; backends of iolite do. The backend decides when a fiber runs, and this crate runs
//! it:
//!
//! - [`Stack`]: a stack with a guard, from a pool of the process. [`StackClass`] is its size, and [`stack_use`] says
//!   how deep stacks were used.
//! - [`Coroutine`]: a stack and the context that is saved on it. [`resume`](Coroutine::resume) switches to it, and
//!   [`suspend`](Coroutine::suspend) switches back.
//! - [`prepare_thread`]: prepares the calling thread so that an overflow of a coroutine's stack is reported in one
//!   line, which names the task that overflowed it, before the process aborts.
//!
//! ```
//! use std::cell::{Cell, OnceCell};
//! use std::ptr;
//!
//! use iolite_fibers::{Coroutine, Stack, StackClass};
//!
//! #[derive(Default)]
//! struct Counter {
//!     coroutine: OnceCell<Coroutine>,
//!     count: Cell<u32>,
//! }
//!
//! /// Counts to three, and suspends after each step.
//! ///
//! /// # Safety
//! ///
//! /// `counter` points to a `Counter` whose coroutine runs this, for as long as it does.
//! unsafe fn count(counter: *const ()) {
//!     // SAFETY: it is there, as the caller says.
//!     let counter = unsafe { &*counter.cast::<Counter>() };
//!     for step in 1..=3 {
//!         counter.count.set(step);
//!         // SAFETY: this runs on that coroutine.
//!         unsafe { counter.coroutine.get().expect("it runs").suspend() };
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let (stack, counter) = (Stack::take(StackClass::of(64 << 10))?, Counter::default());
//! let coroutine = counter.coroutine.get_or_init(|| Coroutine::new(stack, count, ptr::from_ref(&counter).cast()));
//! for step in 1..=4 {
//!     // SAFETY: it is suspended, has not ended, and stays where it is; `counter` is what `count` takes.
//!     unsafe { coroutine.resume() };
//!     assert_eq!(counter.count.get(), step.min(3));
//! }
//! let coroutine = counter.coroutine.into_inner().expect("made above");
//! Stack::give_back(coroutine.into_stack());
//! # Ok(())
//! # }
//! ```

#![warn(missing_debug_implementations)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("iolite-fibers is for 64-bit Linux: it maps and guards stacks by its system calls");

mod class;
mod coroutine;
mod stack;
mod usage;

mod name;
mod overflow;
mod prefetch;

mod slabs;
mod switch;
mod sys;

mod primitive;
mod published;

pub use class::StackClass;
pub use coroutine::Coroutine;
pub use overflow::prepare_thread;
pub use prefetch::{LINE_BYTES, prefetch};
pub use stack::{Stack, guarded_stacks_max};
pub use switch::Main;
pub use usage::{StackUse, stack_use};
