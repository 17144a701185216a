//! A run of the suite.

use std::any::Any;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::case::{Body, Case};
use crate::report::Report;
use crate::tools::{Watchdog, text_of};
use crate::{On, Running, Subject, Wanted, cases, record};

/// Runs every case on every subject, as the arguments of the process say: the `main` of a test target without a
/// harness.
///
/// The arguments are those of `cargo test`, see [the crate](crate). At the end it prints how many cases ran on each
/// subject, and which could not, and why.
///
/// The exit code is 0 when all cases that were asked for have passed or could not run, and 101 when one has failed, or
/// when a subject on which one was asked for is not available.
///
/// It must be called first, before the process writes to its standard output or reads its standard input: some cases
/// start the program again, to be another process.
///
/// # Panics
///
/// When two subjects have the same name.
#[must_use]
pub fn run(subjects: Vec<Arc<dyn Subject>>) -> ExitCode {
    run_chosen(subjects, |_| true)
}

/// The same with those cases alone whose name, as in `tcp::sixteen_mebibytes_arrive_as_they_were`, is chosen: for a subject that is not meant
/// to do everything. How many were left out is printed, too.
///
/// # Panics
///
/// As [`run`].
#[must_use]
pub fn run_chosen(subjects: Vec<Arc<dyn Subject>>, chosen: impl Fn(&str) -> bool) -> ExitCode {
    if let Some(code) = cases::other_process(&subjects) {
        return code;
    }
    let arguments = Arguments::from_args();
    let candidates: Vec<_> = subjects.into_iter().map(|subject| Arc::new(Candidate::new(subject))).collect();
    let report = Arc::new(Report::new(candidates.iter().map(|candidate| candidate.subject.name())));
    record::begin(arguments.nocapture);
    let (runs, left_out) = runs(&candidates, &report, chosen);
    let conclusion = libtest_mimic::run(&arguments, runs.into_iter().map(Run::trial).collect());
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    report.print(left_out);
    if conclusion.has_failed() || candidates.iter().any(|candidate| candidate.turned_out_missing()) {
        ExitCode::from(101)
    } else {
        ExitCode::SUCCESS
    }
}

/// All runs of the chosen cases, and how many cases were not chosen.
fn runs(candidates: &[Arc<Candidate>], report: &Arc<Report>, chosen: impl Fn(&str) -> bool) -> (Vec<Run>, usize) {
    let (mut runs, mut left_out) = (Vec::new(), 0);
    for case in cases::LISTS.iter().copied().flatten() {
        if chosen(&case.name()) {
            let on = |candidates| Run { case, candidates, report: report.clone() };
            runs.extend(case.body.choices(candidates).into_iter().map(on));
        } else {
            left_out += 1;
        }
    }
    (runs, left_out)
}

/// A subject of the run.
struct Candidate {
    subject: Arc<dyn Subject>,
    /// Why it is not available, if it is not; found out by the first case that needs it.
    obstacle: OnceLock<Option<String>>,
}

impl Candidate {
    fn new(subject: Arc<dyn Subject>) -> Self {
        Self { subject, obstacle: OnceLock::new() }
    }

    fn obstacle(&self) -> Option<&str> {
        let look = || {
            let _watchdog = Watchdog::start();
            let started = self.subject.start(&Wanted::default()).map(Running::shutdown);
            started.err().map(|error| format!("{} is NOT AVAILABLE here: {error}", self.subject.name()))
        };
        self.obstacle.get_or_init(look).as_deref()
    }

    fn turned_out_missing(&self) -> bool {
        self.obstacle.get().is_some_and(Option::is_some)
    }
}

impl Body {
    /// On what it is run, of these.
    fn choices(self, candidates: &[Arc<Candidate>]) -> Vec<Vec<Arc<Candidate>>> {
        match self {
            Self::One(_) => candidates.iter().map(|one| vec![one.clone()]).collect(),
            Self::Two(_) => {
                let pairs = candidates.iter().flat_map(|one| candidates.iter().map(move |other| (one, other)));
                pairs.map(|(one, other)| vec![one.clone(), other.clone()]).collect()
            }
        }
    }

    fn call(self, on: &[On]) {
        match (self, on) {
            (Self::One(body), [on]) => body(on),
            (Self::Two(body), [one, other]) => body(one, other),
            (_, on) => unreachable!("a case on {} subjects", on.len()),
        }
    }
}

/// A case on the subjects that it needs.
struct Run {
    case: &'static Case,
    candidates: Vec<Arc<Candidate>>,
    report: Arc<Report>,
}

impl Run {
    /// `module::function::subject`, or `..::one+other`.
    fn name(&self) -> String {
        format!("{}::{}", self.case.name(), self.subjects().collect::<Vec<_>>().join("+"))
    }

    fn subjects(&self) -> impl Iterator<Item = &str> {
        self.candidates.iter().map(|candidate| candidate.subject.name())
    }

    fn trial(self) -> Trial {
        Trial::ignorable_test(self.name(), move || self.perform())
    }

    fn perform(self) -> Result<Completion, Failed> {
        let before = record::length();
        match on_thread_of_its_own(self.name(), || self.call()) {
            Ok(None) => {
                self.report.ran(self.subjects());
                Ok(Completion::Completed)
            }
            Ok(Some(why)) => {
                self.report.not_run(self.subjects(), &self.case.name(), &why);
                Ok(Completion::ignored_with(why))
            }
            Err(panic) => {
                self.report.ran(self.subjects());
                Err(failure(&*panic, record::since(before)))
            }
        }
    }

    /// Runs the case; why it could not run, if it could not.
    fn call(&self) -> Option<String> {
        if let Some(obstacle) = self.candidates.iter().find_map(|candidate| candidate.obstacle()) {
            return Some(obstacle.to_owned());
        }
        let on: Vec<_> = self.candidates.iter().map(|candidate| On::new(candidate.subject.clone())).collect();
        self.case.body.call(&on);
        on.iter().find_map(On::obstacle).map(str::to_owned)
    }
}

/// What is shown of a case that failed: what was recorded, in which its panic stands unless it was a quiet one.
fn failure(panic: &(dyn Any + Send), recorded: String) -> Failed {
    let text = text_of(panic);
    if recorded.contains(&text) { recorded.into() } else { format!("{text}\n{recorded}").into() }
}

/// So that no case sees what another left in its thread, and so that the thread has the case's name.
fn on_thread_of_its_own<T: Send>(name: String, f: impl FnOnce() -> T + Send) -> thread::Result<T> {
    thread::scope(|threads| {
        let thread = thread::Builder::new().name(name).spawn_scoped(threads, f);
        thread.unwrap_or_else(|error| panic!("no thread for the case: {error}")).join()
    })
}
