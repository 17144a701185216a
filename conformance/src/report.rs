//! What a run says at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many cases are named for one reason; of more there is their number.
const NAMED_MAX: usize = 12;

/// How many cases ran on each subject, and which did not, and why.
#[derive(Debug)]
pub(crate) struct Report {
    subjects: Mutex<BTreeMap<String, Tally>>,
}

#[derive(Debug, Default)]
struct Tally {
    ran: usize,
    /// By their reasons.
    not_run: BTreeMap<String, BTreeSet<String>>,
}

impl Report {
    /// # Panics
    ///
    /// When two subjects have the same name.
    pub(crate) fn new<'a>(subjects: impl Iterator<Item = &'a str>) -> Self {
        let mut tallies = BTreeMap::new();
        for subject in subjects {
            let before = tallies.insert(subject.to_owned(), Tally::default());
            assert!(before.is_none(), "two subjects are named {subject}");
        }
        Self { subjects: Mutex::new(tallies) }
    }

    pub(crate) fn ran<'a>(&self, subjects: impl Iterator<Item = &'a str>) {
        self.each(subjects, |tally| tally.ran += 1);
    }

    pub(crate) fn not_run<'a>(&self, subjects: impl Iterator<Item = &'a str>, case: &str, why: &str) {
        self.each(subjects, |tally| _ = tally.not_run.entry(why.to_owned()).or_default().insert(case.to_owned()));
    }

    /// A pair of a subject with itself is one of it.
    fn each<'a>(&self, subjects: impl Iterator<Item = &'a str>, mut change: impl FnMut(&mut Tally)) {
        let mut tallies = self.tallies();
        for subject in subjects.collect::<BTreeSet<_>>() {
            change(tallies.get_mut(subject).expect("a subject of the run"));
        }
    }

    /// Prints it. `left_out` is how many cases the program did not choose.
    pub(crate) fn print(&self, left_out: usize) {
        for (subject, Tally { ran, not_run }) in &*self.tallies() {
            println!("cases that ran on {subject}: {ran}");
            for (why, cases) in not_run {
                println!("cases that did NOT run on {subject}: {} ({why})", named(cases));
            }
        }
        if left_out > 0 {
            println!("cases that this program leaves out: {left_out}");
        }
        println!();
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<String, Tally>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(cases: &BTreeSet<String>) -> String {
    match cases.len() {
        count if count > NAMED_MAX => count.to_string(),
        _ => cases.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}
