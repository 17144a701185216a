//! What comes out of a queue.

/// What happened, from a [`CompletionQueue`](crate::completion::CompletionQueue).
#[derive(Debug)]
pub struct Completion<T, R> {
    /// Which operation or timer this is about.
    pub id: OperationId,
    /// The tag that it was given.
    pub tag: T,
    /// What happened.
    pub kind: CompletionKind<R>,
}

/// What happened to an operation or a timer of a [`CompletionQueue`](crate::completion::CompletionQueue).
#[derive(Debug, PartialEq, Eq)]
pub enum CompletionKind<R> {
    /// The timer has fired.
    Timer,
    /// The operation has ended with this.
    Operation(R),
}

/// An operation or a timer of a [`CompletionQueue`](crate::completion::CompletionQueue), for [`cancel`](crate::completion::CompletionQueue::cancel). Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(pub(super) u64);
