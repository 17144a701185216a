//! The meaning of an entry's user data.

/// The kind of object that the user data points to, in its lowest bits; the other bits are the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Tag {
    /// An operation of a fiber: its [`OpSlot`](crate::executor::OpSlot).
    Operation = 0,
    /// The cancellation of such an operation: the same slot.
    Cancellation = 1,
    /// A [`Message`](super::Message).
    Foreign = 2,
    /// The executor's own entry: the wake-up event, or an entry whose completion nobody waits for.
    Own = 3,
    /// An operation that completes more than once: a [`MultishotOp`](super::MultishotOp).
    Multishot = 4,
    /// The cancellation of such an operation, which no counter includes: the same operation, which may be gone.
    MultishotCancellation = 5,
}

/// The bits of the user data that hold the tag.
pub(crate) const TAG_MASK: u64 = 7;

/// The user data of the read of the wake-up event.
pub(crate) const EVENT: u64 = 8 | Tag::Own as u64;

/// The user data of an entry whose completion nobody waits for.
pub(crate) const NOBODY: u64 = Tag::Own as u64;
