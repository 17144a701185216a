//! A queue of completions: operations that have ended, and timers that have fired.

mod completion;
mod queue;
mod shared;

pub use completion::{Completion, CompletionKind, OperationId};
pub use queue::CompletionQueue;
