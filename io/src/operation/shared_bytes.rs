//! Bytes that several owners share.

use std::fmt;
use std::sync::Arc;

/// Bytes that several owners share, in a container of any type.
#[derive(Clone)]
pub struct SharedBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl SharedBytes {
    /// Shares the bytes that `bytes` refers to.
    pub fn new<B: AsRef<[u8]> + Send + Sync + 'static>(bytes: Arc<B>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes from position `from` on; none if it is past the end.
    pub fn rest(&self, from: usize) -> &[u8] {
        self.as_ref().get(from..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.as_ref().len())
    }
}
