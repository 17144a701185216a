//! The entries of a completion queue.

/// A completed operation or a timer that fired, from a [`CompletionQueue`](crate::completion::CompletionQueue).
#[derive(Debug)]
pub struct Completion<T, R> {
    /// The operation or the timer.
    pub id: OperationId,
    /// The tag with which it was submitted or set.
    pub tag: T,
    /// The kind of the event.
    pub kind: CompletionKind<R>,
}

/// The event of an operation or a timer of a [`CompletionQueue`](crate::completion::CompletionQueue).
#[derive(Debug, PartialEq, Eq)]
pub enum CompletionKind<R> {
    /// The timer has fired.
    Timer,
    /// The operation has ended with this result.
    Operation(R),
}

/// Identifies an operation or a timer of a [`CompletionQueue`](crate::completion::CompletionQueue), for
/// [`cancel`](crate::completion::CompletionQueue::cancel). Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(pub(super) u64);
