//! What a descriptor is waited for.

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Until a read, a receive or an accept would not block.
    Readable,
    /// Until a write, a send or a connect would not block.
    Writable,
    /// Until the peer has finished sending, or the connection is gone, whatever is still to be read.
    HungUp,
}
