//! Waiting for a buffer of a pool.

use crate::pool::{BufferPool, PooledBuffer, Wanting};
use crate::{Canceled, Io};

impl BufferPool {
    /// Waits for a free buffer and takes it, empty. Waiters are served in order of arrival.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if a buffer is free. A canceled wait takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn take(&self, io: &dyn Io) -> Result<PooledBuffer, Canceled> {
        io.check_cancel()?;
        if let Some(buffer) = self.try_take() {
            return Ok(buffer);
        }
        let _wanting = Wanting::new(&self.shared);
        self.shared.available.acquire(io)?.forget();
        Ok(self.shared.pop())
    }
}
