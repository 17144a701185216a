//! The harness of this folder's tests: they are ignored with a message where the kernel denies io_uring.

// Each test target uses a part of it.
#![allow(dead_code)]

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use iolite_conformance::{Case, Running, Subject, Wanted};
use iolite_evented::{Evented, Options};

pub(crate) fn run(lists: &'static [&'static [Case]]) -> ExitCode {
    iolite_conformance::run_cases(vec![Arc::new(Fibers)], lists)
}

/// Runs cases that look at state of the whole process, one at a time.
pub(crate) fn run_one_by_one(lists: &'static [&'static [Case]]) -> ExitCode {
    iolite_conformance::run_one_by_one(vec![Arc::new(Fibers)], lists)
}

struct Fibers;

impl Subject for Fibers {
    fn name(&self) -> &str {
        "evented"
    }

    fn start(&self, wanted: &Wanted) -> io::Result<Running> {
        let mut options = Options::default();
        options.executors = wanted.executors.unwrap_or(options.executors);
        let evented = Evented::new(options)?;
        Ok(Running::new(evented.handle(), || evented.shutdown()))
    }

    fn tasks_are_threads(&self) -> bool {
        false
    }
}
