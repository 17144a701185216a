//! Starting a program: `fork` and `exec` block the thread until it runs, so they do on the pool of the runtime.

use std::io;
use std::mem;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use iolite_io::backend::spawn_blocking;
use iolite_io::{Io, Output, ShutDown};

use crate::shared::Shared;

pub(super) fn perform(shared: &Shared, command: &mut Command) -> io::Result<Output> {
    if shared.is_closed() {
        return Err(ShutDown.into());
    }
    let lent = Arc::new(Mutex::new(mem::replace(command, Command::new(""))));
    let borrowed = lent.clone();
    let job = move || spawn_blocking(&mut borrowed.lock().unwrap_or_else(PoisonError::into_inner));
    // Shielded: it is short, and a program that was started is returned to somebody.
    let io: &dyn Io = shared;
    let spawned = io.protect(|io| shared.blocking().run(io, job));
    mem::swap(command, &mut lent.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Output::Spawned(spawned??.into()))
}
