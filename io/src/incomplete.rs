//! The error of a call that ended before it was complete.

use std::error::Error;
use std::fmt;
use std::io;

/// A `read_exact`, a `read_to_string`, a `write_all` or a [`copy`](crate::copy()) ended before it was complete. It is
/// contained in the error of such a call.
pub struct Incomplete {
    /// The number of bytes that had been read or written; for a copy, written; for a text, appended.
    pub count: usize,
    /// The bytes that a copy had read and not written, or that a `read_to_string` had read and not appended because
    /// they are not valid text or only a part of a character. These bytes exist nowhere else.
    pub unwritten: Vec<u8>,
    /// The error that ended the call.
    pub source: io::Error,
}

impl Incomplete {
    /// Returns the number of bytes that had been read or written when `error` ended the call.
    pub fn count_of(error: &io::Error) -> usize {
        Self::of(error).map_or(0, |incomplete| incomplete.count)
    }

    /// Returns the bytes that a copy had read and not written, or a `read_to_string` read and not appended, when
    /// `error` ended the call.
    pub fn unwritten_of(error: &io::Error) -> &[u8] {
        Self::of(error).map_or(&[], |incomplete| &incomplete.unwritten)
    }

    /// Returns the `Incomplete` in `error`, if there is one.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Makes an error that says how far a call had come. Returns `source` itself if the call had not begun.
    pub(crate) fn error(count: usize, unwritten: Vec<u8>, source: io::Error) -> io::Error {
        if count == 0 && unwritten.is_empty() {
            return source;
        }
        io::Error::new(source.kind(), Self { count, unwritten, source })
    }
}

/// Shows the number of the unwritten bytes, but not their content, because errors go into logs.
impl fmt::Debug for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incomplete")
            .field("count", &self.count)
            .field("unwritten", &format_args!("{} bytes", self.unwritten.len()))
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended after {} bytes", self.count)?;
        match self.unwritten.len() {
            0 => Ok(()),
            more => write!(f, ", with {more} more that were read"),
        }
    }
}

impl Error for Incomplete {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
