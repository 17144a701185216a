//! What all tests of this folder share: the backends, a watchdog, races, seeds.

// Each test target uses a part of it.
#![allow(dead_code, unused_imports)]

mod around;
mod race;
mod random;
mod tools;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use iolite::evented::Evented;
use iolite::threaded::Threaded;
use iolite::{Io, evented, threaded};

pub(crate) use race::{Race, Start, attempt, spin};
pub(crate) use random::{Random, rounds};
pub(crate) use tools::{
    ExpectCanceled, concurrently, full_listener, in_folder, panic_of, panic_quietly, refusing, scope, started,
    tcp_pair, until,
};
pub(crate) use watchdog::Watchdog;

/// The bounded-thread backend, with its defaults.
pub(crate) fn threaded() -> On {
    On::new(Kind::Threaded)
}

/// The io_uring backend, with its defaults.
pub(crate) fn evented() -> On {
    On::new(Kind::Evented)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Threaded,
    Evented,
}

/// A backend to be made, and what a case asks of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct On {
    pub(crate) kind: Kind,
    async_limit: Option<usize>,
    concurrent_limit: Option<usize>,
    executors: Option<usize>,
    offload_limit: Option<usize>,
    grace: Option<Duration>,
    report: Option<fn(&str)>,
}

impl On {
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            async_limit: None,
            concurrent_limit: None,
            executors: None,
            offload_limit: None,
            grace: None,
            report: None,
        }
    }

    pub(crate) fn async_limit(self, limit: usize) -> Self {
        Self { async_limit: Some(limit), ..self }
    }

    pub(crate) fn concurrent_limit(self, limit: usize) -> Self {
        Self { concurrent_limit: Some(limit), ..self }
    }

    /// How many executors; Threaded has none and ignores it.
    pub(crate) fn executors(self, executors: usize) -> Self {
        Self { executors: Some(executors), ..self }
    }

    /// How many threads run what fibers offload; Threaded ignores it.
    pub(crate) fn offload_limit(self, threads: usize) -> Self {
        Self { offload_limit: Some(threads), ..self }
    }

    pub(crate) fn grace(self, grace: Duration, report: fn(&str)) -> Self {
        Self { grace: Some(grace), report: Some(report), ..self }
    }

    /// Runs the case twice: on a plain thread that uses the runtime's `Io`, and in a task of it.
    pub(crate) fn run(self, case: impl Fn(&dyn Io) + Sync) {
        self.on_thread(&case);
        self.in_task(&case);
    }

    /// Runs the case on the calling thread, which is none of the runtime's.
    pub(crate) fn on_thread(self, case: impl FnOnce(&dyn Io)) {
        let _watchdog = Watchdog::start();
        let runtime = self.start();
        case(runtime.io());
        runtime.shutdown();
    }

    /// Runs the case in a task, on a worker or a fiber.
    pub(crate) fn in_task(self, case: impl FnOnce(&dyn Io) + Send) {
        let _watchdog = Watchdog::start();
        let runtime = self.start();
        let io = runtime.io();
        scope(io, |group| concurrently(group, case).join(io));
        runtime.shutdown();
    }

    /// Runs the case as the main closure of a runtime that lives as long as it does.
    pub(crate) fn main<T>(self, main: impl FnOnce(&dyn Io) -> T) -> T {
        let around_main = |io: &dyn Io| main(&*around::around(io.handle().expect("a runtime's")));
        match self.kind {
            Kind::Threaded => Threaded::new(self.threaded_options()).expect("Threaded is available").run(around_main),
            Kind::Evented => available(Evented::prepare(self.evented_options())).run(around_main),
        }
    }

    /// Makes the backend, and puts what `IOLITE_TEST_AROUND` says around it. Panics where it is not available: a
    /// case that cannot run says so.
    pub(crate) fn start(self) -> Runtime {
        let owner = match self.kind {
            Kind::Threaded => Owner::Threaded(Threaded::new(self.threaded_options()).expect("Threaded is available")),
            Kind::Evented => Owner::Evented(available(Evented::new(self.evented_options()))),
        };
        Runtime { io: around::around(owner.handle()), owner }
    }

    fn threaded_options(self) -> threaded::Options {
        let mut options = threaded::Options::default();
        set(&mut options.async_limit, self.async_limit);
        set(&mut options.concurrent_limit, self.concurrent_limit);
        set(&mut options.grace, self.grace);
        options.report = self.report.map(|report| Arc::new(report) as _);
        options
    }

    fn evented_options(self) -> evented::Options {
        let mut options = evented::Options::default();
        set(&mut options.async_limit, self.async_limit);
        set(&mut options.concurrent_limit, self.concurrent_limit);
        set(&mut options.executors, self.executors);
        set(&mut options.offload_limit, self.offload_limit);
        set(&mut options.grace, self.grace);
        options.report = self.report.map(|report| Arc::new(report) as _);
        options
    }
}

fn available<T>(evented: std::io::Result<T>) -> T {
    evented.unwrap_or_else(|error| panic!("this evented case did NOT run, Evented is not available here: {error}"))
}

fn set<T>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

/// A backend that was made, and the `Io` through which the cases see it.
#[derive(Debug)]
pub(crate) struct Runtime {
    io: Arc<dyn Io>,
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Threaded(Threaded),
    Evented(Evented),
}

impl Runtime {
    pub(crate) fn io(&self) -> &dyn Io {
        &*self.io
    }

    pub(crate) fn handle(&self) -> Arc<dyn Io> {
        self.io.clone()
    }

    pub(crate) fn shutdown(self) {
        match self.owner {
            Owner::Threaded(threaded) => threaded.shutdown(),
            Owner::Evented(evented) => evented.shutdown(),
        }
    }
}

impl Owner {
    fn handle(&self) -> Arc<dyn Io> {
        match self {
            Owner::Threaded(threaded) => threaded.handle(),
            Owner::Evented(evented) => evented.handle(),
        }
    }
}
