//! Starting a program. `fork` and `exec` block the thread until the program runs, so no executor does that.

use std::io;
use std::process::Command;

use iolite_io::backend::spawn_program;
use iolite_io::{error::ShutDown, operation::Output};

use crate::runtime::Runtime;

pub(super) fn perform(runtime: &Runtime, command: &mut Command) -> io::Result<Output> {
    if runtime.is_closed() {
        return Err(ShutDown.into());
    }
    Ok(Output::Spawned(spawn_program(runtime, command)?.into()))
}
