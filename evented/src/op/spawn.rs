//! Starting a program: `fork` and `exec` block the thread until it runs, so no executor does that.

use std::io;
use std::process::Command;

use iolite_io::backend::spawn_program;
use iolite_io::{error::ShutDown, operation::Output};

use crate::shared::Shared;

pub(super) fn perform(shared: &Shared, command: &mut Command) -> io::Result<Output> {
    if shared.is_closed() {
        return Err(ShutDown.into());
    }
    Ok(Output::Spawned(spawn_program(shared, command)?.into()))
}
