//! Executors: one thread each, which runs fibers and waits in its ring.
//!
//! A turn of the loop takes the messages of other threads, then runs fibers and starts tasks up to a budget of
//! resumptions and of time, and then enters the kernel once. That call submits the entries that the fibers have queued.
//! If nothing is ready, it also waits for completions, the next timer or a wake-up. The executor reaps completions in
//! one go, and reaping only makes fibers ready; they run in the next turn. So a fiber that yields all the time starves
//! neither I/O nor timers, and completions are handled in the order in which they arrived.

mod state;

mod fibers;
mod run;
mod shutdown;
mod tasks;
mod trim;
mod wait;

mod armed;
mod calls;
mod complete;
mod leftover;
mod park;

mod idle_fibers;
mod slots;
mod timers;
mod turn_time;

pub(crate) use armed::{Armed, Lent};
pub(crate) use slots::OpSlot;
pub(crate) use state::Executor;
