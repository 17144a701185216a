//! Reports to the user of the program.

use std::fmt;

use iolite_io::backend::Report;

/// The function that receives reports.
#[derive(Clone)]
pub(super) struct ReportHook(pub(super) Report);

impl fmt::Debug for ReportHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportHook(..)")
    }
}

/// Writes a line to stderr. Unlike `eprintln!`, it does not panic if stderr is closed.
pub(crate) fn write_line(line: &str) {
    use std::io::Write;
    // There is nowhere to report that the report failed.
    let _ = writeln!(std::io::stderr(), "{line}");
}
