//! The request to stop, from signals and from other threads that have no `Io`.

use std::io;
use std::process;
use std::sync::Arc;
use std::thread;

use iolite::sync::Event;
use iolite::{Io, stdio};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A flag that is set once; any task of any backend can wait for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Event>);

impl Stop {
    /// Makes a flag that Ctrl-C and SIGTERM set. A second signal ends the process at once.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let event = stop.0.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        // It is a plain thread, because it waits for something that no backend knows, beyond the end of any of them.
        thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                if event.is_set() {
                    process::exit(128 + signal);
                }
                event.set();
            }
        })?;
        Ok(stop)
    }

    /// Sets the flag when standard input ends.
    pub(crate) fn when_stdin_closes(&self, io: &dyn Io) {
        let mut buffer = [0; 64];
        while stdio::stdin().read(io, &mut buffer).is_ok_and(|count| count > 0) {}
        self.0.set();
    }

    pub(crate) fn event(&self) -> &Event {
        &self.0
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_set()
    }
}
