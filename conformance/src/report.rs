//! The report at the end of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of cases that are named for one reason; of further ones only the number is shown.
const NAMED_MAX: usize = 3;

/// The number of cases that ran on each subject, and the ignored cases with their reasons.
#[derive(Debug)]
pub(crate) struct Report {
    /// The number of cases that ran on each subject.
    ran: Mutex<BTreeMap<String, usize>>,
    /// The ignored cases by their reasons.
    ignored: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Report {
    /// # Panics
    ///
    /// If two subjects have the same name.
    pub(crate) fn new<'a>(subjects: impl Iterator<Item = &'a str>) -> Self {
        let mut ran = BTreeMap::new();
        for subject in subjects {
            let before = ran.insert(subject.to_owned(), 0);
            assert!(before.is_none(), "two subjects are named {subject}");
        }
        Self { ran: Mutex::new(ran), ignored: Mutex::default() }
    }

    /// Counts a case that ran on these subjects. A pair of a subject with itself counts as one.
    pub(crate) fn ran<'a>(&self, subjects: impl Iterator<Item = &'a str>) {
        let mut ran = lock(&self.ran);
        for subject in subjects.collect::<BTreeSet<_>>() {
            *ran.get_mut(subject).expect("a subject of the run") += 1;
        }
    }

    pub(crate) fn ignored(&self, case: String, why: &str) {
        lock(&self.ignored).entry(why.to_owned()).or_default().insert(case);
    }

    /// Prints the report. `left_out` is the number of cases that the program did not choose.
    pub(crate) fn print(&self, left_out: usize) {
        for (subject, ran) in &*lock(&self.ran) {
            println!("cases that ran on {subject}: {ran}");
        }
        for (why, cases) in &*lock(&self.ignored) {
            println!("cases that were IGNORED: {}: {why}{}", cases.len(), named(cases));
        }
        if left_out > 0 {
            println!("cases that this program leaves out: {left_out}");
        }
        println!();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn named(cases: &BTreeSet<String>) -> String {
    match cases.len() {
        count if count > NAMED_MAX => String::new(),
        _ => format!(" ({})", cases.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}
