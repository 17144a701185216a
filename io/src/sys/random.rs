//! The system's source of randomness.

use std::io;

/// Fills `bytes` with random bytes of the system, which are fit for cryptography.
///
/// Backends implement [`Io::random`](crate::Io::random) with it.
///
/// # Errors
///
/// Returns an error if the system has no source of randomness.
pub fn system_random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error.to_string()),
    })
}
