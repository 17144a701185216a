//! Errors of the system, with an explanation.

use std::error::Error;
use std::fmt;
use std::io;

/// Makes an error that says `what` went wrong and has `source` as its source. It has a kind but no errno, because the
/// errno of the source would look like one of the requested call.
pub fn explained(
    kind: io::ErrorKind,
    what: impl Into<String>,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> io::Error {
    io::Error::new(kind, Explained { what: what.into(), source: source.into() })
}

#[derive(Debug)]
struct Explained {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
