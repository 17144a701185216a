//! Messages that one call sends or receives.

use super::address::Address;

/// Room for a message, and what came into it.
#[derive(Debug)]
pub struct Message {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) count: usize,
    pub(crate) from: Option<Address>,
    pub(crate) truncated: bool,
}

impl Message {
    /// Room for a message of at most `bytes_max` bytes.
    pub fn with_room(bytes_max: usize) -> Self {
        Self { buffer: vec![0; bytes_max].into(), count: 0, from: None, truncated: false }
    }

    /// What was received last.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.count]
    }

    /// Who sent it; nobody is named where there is a connection, or the sender has no name.
    pub fn from(&self) -> Option<&Address> {
        self.from.as_ref()
    }

    /// Whether there was more of it than room.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct OutgoingMessage<'a> {
    /// What it says.
    pub bytes: &'a [u8],
    /// To whom; `None` for whom the socket is connected to.
    pub to: Option<Address>,
}
