//! The error of a call that ended in the middle.

use std::error::Error;
use std::fmt;
use std::io;

/// A `read_exact`, a `read_to_string`, a `write_all` or a [`copy`](crate::copy()) ended in the middle: the source of
/// such an error.
pub struct Incomplete {
    /// How many bytes had been read or written; of a copy, written; of a text, appended.
    pub count: usize,
    /// What a copy had read and not written, or a `read_to_string` read and not appended, for it is no text, or only a
    /// part of a character: these bytes are nowhere else any more.
    pub unwritten: Vec<u8>,
    /// What ended it.
    pub source: io::Error,
}

impl Incomplete {
    /// How many bytes had been read or written when `error` ended the call.
    pub fn count_of(error: &io::Error) -> usize {
        Self::of(error).map_or(0, |incomplete| incomplete.count)
    }

    /// What a copy that `error` ended had read and not written, or a `read_to_string` read and not appended.
    pub fn unwritten_of(error: &io::Error) -> &[u8] {
        Self::of(error).map_or(&[], |incomplete| &incomplete.unwritten)
    }

    /// The `Incomplete` in `error`, if there is one.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// An error that says how far a call had come; `source` itself if it had not begun.
    pub(crate) fn error(count: usize, unwritten: Vec<u8>, source: io::Error) -> io::Error {
        if count == 0 && unwritten.is_empty() {
            return source;
        }
        io::Error::new(source.kind(), Self { count, unwritten, source })
    }
}

/// Shows how many bytes there are, and not what they say: errors go into logs.
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
