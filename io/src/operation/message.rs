//! Messages that one call sends or receives.

use super::address::Address;

/// Room for a message, and the message that was received last.
#[derive(Debug)]
pub struct Message {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) count: usize,
    pub(crate) from: Option<Address>,
    pub(crate) truncated: bool,
}

impl Message {
    /// Makes room for a message of at most `bytes_max` bytes.
    pub fn with_room(bytes_max: usize) -> Self {
        Self { buffer: vec![0; bytes_max].into(), count: 0, from: None, truncated: false }
    }

    /// Returns the bytes that were received last.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.count]
    }

    /// Returns the sender; `None` if the socket is connected, or if the sender has no name.
    pub fn from(&self) -> Option<&Address> {
        self.from.as_ref()
    }

    /// Returns true if the message was longer than the room for it.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct OutgoingMessage<'a> {
    /// The content.
    pub bytes: &'a [u8],
    /// The receiver; `None` for the peer that the socket is connected to.
    pub to: Option<Address>,
}
