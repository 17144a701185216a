//! A record of the notes of cases and of the places of their panics, which is kept until a case fails and then shows
//! it.
//!
//! The threads of a runtime know no case, and a case may run on any of them. So there is one record for cases that run
//! at the same time, and each failure shows everything that was recorded since its case began.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::panic;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// The number of lines that a failure shows: the last ones.
const SHOWN_MAX: usize = 60;

struct Record {
    /// True if lines are printed as they come.
    aloud: bool,
    lines: Mutex<Vec<Line>>,
}

struct Line {
    text: String,
    /// The backtrace of a panic. Formatting it is expensive, so that is left to the code that shows it.
    backtrace: Option<Backtrace>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.backtrace {
            Some(backtrace) if backtrace.status() == BacktraceStatus::Captured => write!(f, "\n{backtrace}"),
            _ => Ok(()),
        }
    }
}

/// The record of a run of the suite; elsewhere the tests' own harness does this.
static RECORD: OnceLock<Record> = OnceLock::new();

impl Record {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts recording, including panics, which are then reported by the cases that fail.
pub(crate) fn begin(aloud: bool) {
    if RECORD.set(Record { aloud, lines: Mutex::default() }).is_err() {
        return;
    }
    panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let text = format!("thread `{}` {info}", thread.name().unwrap_or("without a name"));
        add(Line { text, backtrace: Some(Backtrace::capture()) });
    }));
}

/// Notes something that is of interest if a case fails, such as its seed.
pub fn note(text: impl fmt::Display) {
    add(Line { text: text.to_string(), backtrace: None });
}

fn add(line: Line) {
    match RECORD.get() {
        Some(record) if !record.aloud => record.lines().push(line),
        _ => println!("{line}"),
    }
}

/// Returns the number of lines so far.
pub(crate) fn length() -> usize {
    RECORD.get().map_or(0, |record| record.lines().len())
}

/// Returns the lines after that number.
pub(crate) fn since(length: usize) -> String {
    let Some(record) = RECORD.get() else { return String::new() };
    let lines = record.lines();
    let first = length.max(lines.len().saturating_sub(SHOWN_MAX));
    lines[first..].iter().map(Line::to_string).collect::<Vec<_>>().join("\n")
}
