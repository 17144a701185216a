//! What may stand between the cases and a backend: `IOLITE_TEST_AROUND` puts it around every runtime's `Io`.

use std::env;
use std::io;
use std::sync::{Arc, Weak};

use iolite::backend::{Refused, Start, StartHow, Ticket};
use iolite::testing::{Faults, Faulty};
use iolite::{Backend, Instant, Io, Operation, Output};

/// The decorated `Io`: `plain` passes what every decorator has to, `faulty` is [`Faulty`] without a fault. Both
/// have no multishot operations. Without the variable it is `io` itself.
pub(crate) fn around(io: Arc<dyn Io>) -> Arc<dyn Io> {
    match env::var("IOLITE_TEST_AROUND").as_deref() {
        Err(_) => io,
        Ok("plain") => Arc::new_cyclic(|this| Plain { io, this: this.clone() }),
        Ok("faulty") => Faulty::new(io, 0, Faults::new()),
        Ok(other) => panic!("IOLITE_TEST_AROUND={other} is neither `plain` nor `faulty`"),
    }
}

/// The least that a decorator consists of: what has a default is left at it.
struct Plain {
    io: Arc<dyn Io>,
    this: Weak<Self>,
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

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }
}
