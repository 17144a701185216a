//! The events that a descriptor is waited for.

/// The event that a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A read, a receive or an accept would not block.
    Readable,
    /// A write, a send or a connect would not block.
    Writable,
    /// The peer has finished sending, or the connection is gone, even if there are bytes left to be read.
    HungUp,
}
