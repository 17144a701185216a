//! Decorators as subjects.

use std::io;
use std::sync::{Arc, Weak};

use iolite_io::backend::{Refused, Start, StartHow, TaskRef, Ticket};
use iolite_io::{Backend, Instant, Io, Operation, Output};

use crate::{Main, Running, Subject, Wanted};

/// A decorator as a subject: another subject, around whose every `Io` the decorator is put.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use iolite_conformance::{Around, Plain, Subject};
/// # fn fibers() -> Arc<dyn Subject> { todo!() }
/// # let _ =
/// iolite_conformance::run(vec![fibers(), Arc::new(Around::new("plain-fibers", fibers(), Plain::around))])
/// # ;
/// ```
pub struct Around<F> {
    name: String,
    subject: Arc<dyn Subject>,
    decorate: F,
}

impl<F: Fn(Arc<dyn Io>) -> Arc<dyn Io> + Send + Sync> Around<F> {
    /// The subject with what `decorate` makes of its `Io`s, which must have a handle.
    pub fn new(name: impl Into<String>, subject: Arc<dyn Subject>, decorate: F) -> Self {
        Self { name: name.into(), subject, decorate }
    }
}

impl<F: Fn(Arc<dyn Io>) -> Arc<dyn Io> + Send + Sync> Subject for Around<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, wanted: &Wanted) -> io::Result<Running> {
        let inside = self.subject.start(wanted)?;
        Ok(Running::new((self.decorate)(inside.handle()), move || inside.shutdown()))
    }

    fn main(&self, wanted: &Wanted, main: Main<'_>) -> io::Result<()> {
        let decorated = |io: &dyn Io| main(&*(self.decorate)(io.handle().expect("a runtime's `Io` has a handle")));
        self.subject.main(wanted, Box::new(decorated))
    }

    fn tasks_are_threads(&self) -> bool {
        self.subject.tasks_are_threads()
    }
}

/// The least that a decorator consists of: it passes on what has no default, and is its own handle.
pub struct Plain {
    io: Arc<dyn Io>,
    this: Weak<Self>,
}

impl Plain {
    /// Puts one around `io`.
    pub fn around(io: Arc<dyn Io>) -> Arc<dyn Io> {
        Arc::new_cyclic(|this| Self { io, this: this.clone() })
    }
}

impl Io for Plain {
    fn start(&self, start: Start, how: StartHow) -> Result<(), Refused> {
        self.io.start(start, how)
    }

    fn begin_joined(&self, ticket: Ticket) {
        self.io.begin_joined(ticket);
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        self.io.operate(operation)
    }

    fn now(&self) -> Instant {
        self.io.now()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.io.random(bytes)
    }

    fn backend(&self) -> Backend {
        self.io.backend()
    }

    fn tasks(&self) -> Vec<TaskRef> {
        self.io.tasks()
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }
}
