//! The part of an executor that other threads see: everything that they leave for it, and the way they wake it.
//!
//! - [`Inbox`]: woken contexts, operations, operations that are asked to end; the wake-up of the executor.
//! - [`Message`]: an operation of a context that is not one of the executor's fibers.
//! - [`MultishotOp`]: an operation that completes more than once, whose completions any thread may take.
//! - `messages.rs`, `sleep.rs`: the two lock-free protocols, which models run.

mod inbox;
mod message;
mod messages;
mod multishot;
mod sleep;
mod user_data;

pub(crate) use inbox::Inbox;
pub(crate) use message::{InFlight, Message, Role};
pub(crate) use multishot::{Completion, Kind, MultishotOp, Table};
pub(crate) use user_data::{EVENT, NOBODY, TAG_MASK, Tag};
