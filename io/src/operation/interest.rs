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

impl Interest {
    /// As `poll` names it, which tells of errors and of a connection that is gone in any case.
    pub fn poll_events(self) -> libc::c_short {
        match self {
            Interest::Readable => libc::POLLIN,
            Interest::Writable => libc::POLLOUT,
            Interest::HungUp => libc::POLLRDHUP,
        }
    }
}
