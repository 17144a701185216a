//! Contexts, which can park: a fiber, a pool worker or a plain thread.
//!
//! An [`Io`] performs; the *calling context* parks. Therefore a fiber of one backend can lock a mutex that a thread of
//! another backend holds, and can call through any `Io` that it was given. A waker needs only the context's
//! [`Unparker`], and does not have to know what kind of context it wakes.
//!
//! The current context is kept in one thread-local cell, which an executor swaps around each switch of fibers with
//! [`set_current`]. Every other thread is a context of its own. At most one task runs on a context, and inline children
//! run on top of it ([`crate::backend::Start::run`]).

mod park;
mod park_state;

mod block;
mod wake_stack;

mod call;
mod call_word;
mod spin_wait;
mod thread;
mod thread_parker;

mod requests;
mod scopes;
mod task_state;
mod token;

mod current;
mod depth;
mod locals;
mod panic_hook;
mod report;
mod send_report;
mod turn;

mod interruptible;
mod no_suspend;
mod open_scopes;
mod points;
mod wait;
mod waiters;

pub use block::{Unparker, Wake, WakeBlock};
pub(crate) use current::TaskGuard;
pub use current::{Context, RuntimeGuard, current, park, set_current, yield_now};
pub(crate) use depth::TooDeep;
pub use interruptible::{claim_thread, interruptible, interruptible_until};
pub(crate) use locals::Locals;
pub use no_suspend::no_suspend;
pub(crate) use open_scopes::inheritable_scopes;
pub use panic_hook::guard_panic_hook;
pub use park::{Park, Wait};
pub use report::Report;
pub(crate) use requests::{REQUESTED, SHUT_DOWN, TORN_DOWN};
pub(crate) use scopes::{HasFailed, Inherited};
pub use send_report::{panic_text, send_report};
pub use spin_wait::SpinWait;
pub(crate) use task_state::TaskState;
pub(crate) use thread::{is_thread_of_pool, mark_thread_of_pool};
pub(crate) use token::{Bound, Node};
pub(crate) use wait::{WaitEnd, or_abort, wait, wait_uncancelable};
pub(crate) use waiters::Waiters;
pub use wake_stack::WakeStack;
