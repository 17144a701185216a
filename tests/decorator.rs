//! Checks a decorator that counts the operations under way through it, and otherwise behaves like the `Io` that it is
//! around.
//!
//! A crate with an `Io` of its own uses the suite in this way. This test chooses some of the cases, because all of them
//! take too long.

mod support;

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use iolite::{
    Io,
    backend::Decorator,
    operation::{Operation, Output},
};
use iolite_conformance::{Around, run_chosen};

/// Counts the operations that are under way.
struct Counted {
    io: Arc<dyn Io>,
    this: Weak<Self>,
    under_way: AtomicUsize,
}

impl Counted {
    fn around(io: Arc<dyn Io>) -> Arc<dyn Io> {
        Arc::new_cyclic(|this| Self { io, this: this.clone(), under_way: AtomicUsize::new(0) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(*self.under_way.get_mut(), 0, "operations outlived the `Io`");
    }
}

impl Decorator for Counted {
    fn inner(&self) -> &dyn Io {
        &*self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        let _under_way = UnderWay::new(&self.under_way);
        self.io.operate(operation)
    }
}

/// An operation, which may also end with a panic: where nothing may suspend.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn main() -> ExitCode {
    let counted = support::subjects().into_iter().map(|subject| {
        let name = format!("counted-{}", subject.name());
        Arc::new(Around::new(name, subject, Counted::around)) as _
    });
    let modules = ["basics::", "cancel::", "limits::", "streams::", "tcp::"];
    run_chosen(counted.collect(), |case| modules.iter().any(|module| case.starts_with(module)))
}
