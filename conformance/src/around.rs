//! Decorators as subjects.

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};

use iolite_io::{Io, backend::Decorator};

use crate::{Main, Running, Subject, Wanted};

/// A decorator as a subject: another subject, with the decorator put around each of its `Io`s.
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

impl<F> fmt::Debug for Around<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: Fn(Arc<dyn Io>) -> Arc<dyn Io> + Send + Sync> Around<F> {
    /// Makes a subject from another one, with the result of `decorate` for each of its `Io`s, which must have a handle.
    pub fn new(name: impl Into<String>, subject: Arc<dyn Subject>, decorate: F) -> Self {
        Self { name: name.into(), subject, decorate }
    }
}

impl<F: Fn(Arc<dyn Io>) -> Arc<dyn Io> + Send + Sync> Subject for Around<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn backend(&self) -> &str {
        self.subject.backend()
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

/// The smallest decorator: it passes every call on, and is its own handle.
#[derive(Debug)]
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

impl Decorator for Plain {
    fn inner(&self) -> &dyn Io {
        &*self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }
}
