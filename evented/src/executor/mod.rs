//! Executors: one thread each, which runs fibers and waits in its ring.
//!
//! A turn of the loop takes what other threads left, runs fibers and starts tasks up to a budget of
//! resumptions and of time, and then enters the kernel once: that submits what the fibers queued and, if nothing is ready,
//! waits for completions, the next timer or a wake-up. Completions are reaped in one go and only
//! make fibers ready; what waits for them runs in the next turn. So a fiber that yields all the time
//! starves neither I/O nor timers, and completions are told in the order in which they arrived.

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
