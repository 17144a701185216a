//! The pipe through which the kernel moves bytes.

use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::descriptor::Descriptor;

/// The capacity of the pipe: the largest that a user without privileges may request.
pub(super) const PIPE_BYTES: usize = 1 << 20;

pub(super) struct Pipe {
    exit: Descriptor,
    entrance: Descriptor,
}

impl Pipe {
    /// Returns `None` if the system provides no pipe, or only a smaller one.
    pub(super) fn new() -> Option<Self> {
        let (exit, entrance) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        fcntl_setpipe_size(&entrance, PIPE_BYTES).ok()?;
        Some(Self { exit: exit.into(), entrance: entrance.into() })
    }

    pub(super) fn entrance(&self) -> &Descriptor {
        &self.entrance
    }

    pub(super) fn exit(&self) -> &Descriptor {
        &self.exit
    }

    /// Takes out the last `count` bytes without waiting. They are in the pipe if the `Io` counts correctly.
    pub(super) fn take(self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match retry_on_intr(|| rustix::io::read(&self.exit, &mut bytes[filled..])) {
                Ok(0) | Err(_) => break,
                Ok(more) => filled += more,
            }
        }
        bytes.truncate(filled);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_taken_out() {
        let pipe = Pipe::new().expect("a pipe");
        let bytes: Vec<u8> = (0..=250).cycle().take(PIPE_BYTES).collect();
        assert_eq!(rustix::io::write(pipe.entrance(), &bytes).unwrap(), PIPE_BYTES);
        assert!(pipe.take(PIPE_BYTES) == bytes);
    }

    #[test]
    fn what_an_io_only_claims_is_not_waited_for() {
        let pipe = Pipe::new().expect("a pipe");
        rustix::io::write(pipe.entrance(), b"four").unwrap();
        assert_eq!(pipe.take(5), b"four");
    }
}
