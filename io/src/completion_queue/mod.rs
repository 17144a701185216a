//! A queue of what has happened: operations that have ended, and timers.

mod completion;
mod queue;
mod shared;

pub use completion::{Completion, CompletionKind, OperationId};
pub use queue::CompletionQueue;
