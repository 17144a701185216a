//! What a run says at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many cases are named for one reason; of more there is their number alone.
const NAMED_MAX: usize = 3;

/// How many cases ran on each subject, and which were ignored, and why.
#[derive(Debug)]
pub(crate) struct Report {
    /// How many ran on each subject.
    ran: Mutex<BTreeMap<String, usize>>,
    /// By their reasons.
    ignored: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Report {
    /// # Panics
    ///
    /// When two subjects have the same name.
    pub(crate) fn new<'a>(subjects: impl Iterator<Item = &'a str>) -> Self {
        let mut ran = BTreeMap::new();
        for subject in subjects {
            let before = ran.insert(subject.to_owned(), 0);
            assert!(before.is_none(), "two subjects are named {subject}");
        }
        Self { ran: Mutex::new(ran), ignored: Mutex::default() }
    }

    /// A case ran on these subjects. A pair of a subject with itself is one of it.
    pub(crate) fn ran<'a>(&self, subjects: impl Iterator<Item = &'a str>) {
        let mut ran = lock(&self.ran);
        for subject in subjects.collect::<BTreeSet<_>>() {
            *ran.get_mut(subject).expect("a subject of the run") += 1;
        }
    }

    pub(crate) fn ignored(&self, case: String, why: &str) {
        lock(&self.ignored).entry(why.to_owned()).or_default().insert(case);
    }

    /// Prints it. `left_out` is how many cases the program did not choose.
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
