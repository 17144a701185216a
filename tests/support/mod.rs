//! The subjects of this folder's tests: our backends, and the decorators that `IOLITE_TEST_AROUND` puts around them.

// Each test target uses a part of it.
#![allow(dead_code)]

use std::env;
use std::io;
use std::sync::Arc;

use iolite::Io;
use iolite::evented::{self, Evented};
use iolite::testing::{Faults, Faulty};
use iolite::threaded::{self, Threaded};
use iolite_conformance::{Around, Main, On, Plain, Running, Subject, Wanted};

/// The bounded-thread backend.
pub(crate) fn threaded() -> On {
    On::new(around(Arc::new(Threads)))
}

/// The io_uring backend.
pub(crate) fn evented() -> On {
    On::new(around(Arc::new(Fibers)))
}

/// Returns both.
pub(crate) fn subjects() -> Vec<Arc<dyn Subject>> {
    vec![around(Arc::new(Threads)), around(Arc::new(Fibers))]
}

/// Decorates a subject as `IOLITE_TEST_AROUND` says: `plain` puts [`Plain`] around it, `faulty` puts [`Faulty`] without
/// a fault around it. Both have no multishot operations. Without the variable the subject is not changed.
fn around(subject: Arc<dyn Subject>) -> Arc<dyn Subject> {
    let name = subject.name().to_owned();
    match env::var("IOLITE_TEST_AROUND").as_deref() {
        Err(_) => subject,
        Ok("plain") => Arc::new(Around::new(name, subject, Plain::around)),
        Ok("faulty") => Arc::new(Around::new(name, subject, |io| Faulty::new(io, 0, Faults::new()) as Arc<dyn Io>)),
        Ok(other) => panic!("IOLITE_TEST_AROUND={other} is neither `plain` nor `faulty`"),
    }
}

struct Threads;

impl Subject for Threads {
    fn name(&self) -> &str {
        "threaded"
    }

    fn start(&self, wanted: &Wanted) -> io::Result<Running> {
        let threaded = Threaded::new(threaded_options(wanted))?;
        Ok(Running::new(threaded.handle(), || threaded.shutdown()))
    }

    fn main(&self, wanted: &Wanted, main: Main<'_>) -> io::Result<()> {
        Threaded::new(threaded_options(wanted))?.run(main);
        Ok(())
    }

    fn tasks_are_threads(&self) -> bool {
        true
    }
}

struct Fibers;

impl Subject for Fibers {
    fn name(&self) -> &str {
        "evented"
    }

    fn start(&self, wanted: &Wanted) -> io::Result<Running> {
        let evented = Evented::new(evented_options(wanted))?;
        Ok(Running::new(evented.handle(), || evented.shutdown()))
    }

    fn main(&self, wanted: &Wanted, main: Main<'_>) -> io::Result<()> {
        Evented::prepare(evented_options(wanted))?.run(main);
        Ok(())
    }

    fn tasks_are_threads(&self) -> bool {
        false
    }
}

fn threaded_options(wanted: &Wanted) -> threaded::Options {
    let mut options = threaded::Options::default();
    set(&mut options.async_limit, wanted.async_limit);
    set(&mut options.concurrent_limit, wanted.concurrent_limit);
    set(&mut options.grace, wanted.grace);
    options.report = wanted.report.clone();
    options
}

fn evented_options(wanted: &Wanted) -> evented::Options {
    let mut options = evented::Options::default();
    set(&mut options.async_limit, wanted.async_limit);
    set(&mut options.concurrent_limit, wanted.concurrent_limit);
    set(&mut options.executors, wanted.executors);
    set(&mut options.offload_limit, wanted.offload_limit);
    set(&mut options.grace, wanted.grace);
    options.report = wanted.report.clone();
    options
}

fn set<T>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}
