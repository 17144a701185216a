//! Telling the user of the program something.

use std::fmt;

use iolite_io::backend::Report;

/// Who is told what the user should know.
#[derive(Clone)]
pub(super) struct Notice(pub(super) Report);

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notice(..)")
    }
}

/// Writes a line to stderr. Unlike `eprintln!`, it does not panic where stderr is closed.
pub(crate) fn write_line(line: &str) {
    use std::io::Write;
    // Nobody is left who could be told that telling failed.
    let _ = writeln!(std::io::stderr(), "{line}");
}
