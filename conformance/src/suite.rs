//! A run of the suite.

use std::any::Any;
use std::env;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use iolite_io::ErrorChain;

use crate::case::{Body, Case};
use crate::report::Report;
use crate::tools::{Watchdog, text_of};
use crate::{On, Running, Subject, Wanted, cases, record};

/// Runs every case on every subject, according to the arguments of the process. It is the `main` of a test target
/// without a harness.
///
/// The arguments are those of `cargo test`, see [the crate](crate). At the end it prints how many cases ran on each
/// subject, and how many were ignored, and why.
///
/// The exit code is 0 if all chosen cases have passed or were ignored, and 101 if one has failed. A case is ignored if
/// a subject that it needs is not available here, unless `IOLITE_TEST_REQUIRE` names its backend: then the case fails.
///
/// It must be called first, before the process writes to its standard output or reads its standard input: some cases
/// start the program again, as another process.
///
/// # Panics
///
/// If two subjects have the same name.
#[must_use]
pub fn run(subjects: Vec<Arc<dyn Subject>>) -> ExitCode {
    run_chosen(subjects, |_| true)
}

/// Runs the suite like [`run`], but only the cases that are chosen by their names, such as
/// `tcp::sixteen_mebibytes_arrive_as_they_were`. This is for a subject that is not meant to do everything. It also
/// prints how many cases were left out.
///
/// # Panics
///
/// The same as for [`run`].
#[must_use]
pub fn run_chosen(subjects: Vec<Arc<dyn Subject>>, chosen: impl Fn(&str) -> bool) -> ExitCode {
    if let Some(code) = cases::other_process(&subjects) {
        return code;
    }
    let all = cases::LISTS.iter().copied().flatten().copied().flatten();
    let (chosen, left_out): (Vec<_>, Vec<_>) = all.partition(|case| chosen(&case.name()));
    perform(Arguments::from_args(), subjects, &chosen, left_out.len())
}

/// Runs other cases than the suite's, like [`run`]. It is the harness of a package's own tests that may need a subject
/// that is not available everywhere.
///
/// ```no_run
/// # use std::process::ExitCode;
/// # use std::sync::Arc;
/// # use iolite_conformance::{Case, On, Subject, cases};
/// # fn fibers() -> Arc<dyn Subject> { todo!() }
/// const CASES: &[Case] = cases![a_yield_returns];
///
/// fn main() -> ExitCode {
///     iolite_conformance::run_cases(vec![fibers()], &[CASES])
/// }
///
/// fn a_yield_returns(on: &On) {
///     on.run(|io| io.yield_now());
/// }
/// ```
///
/// # Panics
///
/// The same as for [`run`].
#[must_use]
pub fn run_cases(subjects: Vec<Arc<dyn Subject>>, lists: &'static [&'static [Case]]) -> ExitCode {
    perform(Arguments::from_args(), subjects, &flat(lists), 0)
}

/// Runs cases like [`run_cases`], but one at a time, for cases that look at state of the whole process, such as its
/// memory.
///
/// # Panics
///
/// The same as for [`run`].
#[must_use]
pub fn run_one_by_one(subjects: Vec<Arc<dyn Subject>>, lists: &'static [&'static [Case]]) -> ExitCode {
    perform(Arguments { test_threads: Some(1), ..Arguments::from_args() }, subjects, &flat(lists), 0)
}

fn flat(lists: &'static [&'static [Case]]) -> Vec<&'static Case> {
    lists.iter().copied().flatten().collect()
}

/// Runs these cases. `left_out` is the number of cases that the program did not choose.
fn perform(
    arguments: Arguments,
    subjects: Vec<Arc<dyn Subject>>,
    cases: &[&'static Case],
    left_out: usize,
) -> ExitCode {
    let candidates: Vec<_> = subjects.into_iter().map(|subject| Arc::new(Candidate::new(subject))).collect();
    let report = Arc::new(Report::new(candidates.iter().map(|candidate| candidate.subject.name())));
    record::begin(arguments.nocapture);
    let runs = cases.iter().flat_map(|&case| {
        let on = |candidates| Run { case, candidates, report: report.clone() };
        case.body.choices(&candidates).into_iter().map(on)
    });
    let conclusion = libtest_mimic::run(&arguments, runs.map(Run::trial).collect());
    if !arguments.list {
        report.print(left_out);
    }
    conclusion.exit_code()
}

/// The backends that have to be available, separated by commas: a case that lacks one of them fails.
const REQUIRE: &str = "IOLITE_TEST_REQUIRE";

/// A subject of the run.
struct Candidate {
    subject: Arc<dyn Subject>,
    /// The reason why it is not available, if it is not; the first case that needs it finds out.
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
            started
                .err()
                .map(|error| format!("{} is not available here: {}", self.subject.name(), ErrorChain::new(&error)))
        };
        self.obstacle.get_or_init(look).as_deref()
    }

    fn is_required(&self) -> bool {
        env::var(REQUIRE).is_ok_and(|names| names.split(',').any(|name| name.trim() == self.subject.backend()))
    }
}

impl Body {
    /// Returns the choices of subjects, from these, on which the case runs.
    fn choices(self, candidates: &[Arc<Candidate>]) -> Vec<Vec<Arc<Candidate>>> {
        match self {
            Self::One(_) => candidates.iter().map(|one| vec![one.clone()]).collect(),
            Self::Two(_) => {
                let pairs = candidates.iter().flat_map(|one| candidates.iter().map(move |other| (one, other)));
                pairs.map(|(one, other)| vec![one.clone(), other.clone()]).collect()
            }
            Self::All(_) => vec![candidates.to_vec()],
        }
    }

    fn call(self, on: &[On]) {
        match (self, on) {
            (Self::One(body), [on]) => body(on),
            (Self::Two(body), [one, other]) => body(one, other),
            (Self::All(body), _) => body(),
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
    /// Returns `module::function::subject`, or `..::one+other`.
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
            Ok(Outcome::Ran) => {
                self.report.ran(self.subjects());
                Ok(Completion::Completed)
            }
            Ok(Outcome::NotRun(why)) => {
                self.report.ignored(self.name(), &why);
                Ok(Completion::ignored_with(why))
            }
            Ok(Outcome::Lacks(why)) => Err(format!("{REQUIRE} requires it, but {why}").into()),
            Err(panic) => {
                self.report.ran(self.subjects());
                Err(failure(&*panic, record::since(before)))
            }
        }
    }

    fn call(&self) -> Outcome {
        let lacking = self.candidates.iter().find_map(|candidate| Some((candidate, candidate.obstacle()?.to_owned())));
        match lacking {
            Some((candidate, why)) if candidate.is_required() => return Outcome::Lacks(why),
            Some((_, why)) => return Outcome::NotRun(why),
            None => {}
        }
        let on: Vec<_> = self.candidates.iter().map(|candidate| On::new(candidate.subject.clone())).collect();
        self.case.body.call(&on);
        let obstacle = on.iter().find_map(On::obstacle);
        obstacle.map_or(Outcome::Ran, |why| Outcome::NotRun(why.to_owned()))
    }
}

/// The outcome of a case that did not fail by itself.
enum Outcome {
    Ran,
    /// The case could not run, for this reason.
    NotRun(String),
    /// The case could not run because a required backend is missing.
    Lacks(String),
}

/// Returns the output of a case that failed: what was recorded, which includes its panic unless it was a quiet one.
fn failure(panic: &(dyn Any + Send), recorded: String) -> Failed {
    let text = text_of(panic);
    if recorded.contains(&text) { recorded.into() } else { format!("{text}\n{recorded}").into() }
}

/// Runs a closure on a new thread, so that no case sees what another one left in its thread, and so that the thread has
/// the case's name.
fn on_thread_of_its_own<T: Send>(name: String, f: impl FnOnce() -> T + Send) -> thread::Result<T> {
    thread::scope(|threads| {
        let thread = thread::Builder::new().name(name).spawn_scoped(threads, f);
        thread.unwrap_or_else(|error| panic!("no thread for the case: {error}")).join()
    })
}
