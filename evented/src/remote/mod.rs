//! The side of an executor that other threads see: what they leave for it, and how they wake it.
//!
//! - [`Inbox`]: woken contexts, operations, operations that are to end; the wake-up of the executor.
//! - [`Message`]: an operation of a context that is not one of the executor's fibers.
//! - [`MultishotOp`]: an operation that completes more than once, whose completions any thread takes.
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
