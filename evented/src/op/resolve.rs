//! Looking a name up: `getaddrinfo` can only block, so it does on the pool of the runtime.

use std::io;

use iolite_io::Output;
use iolite_io::backend::resolve_blocking;

use crate::shared::Shared;

pub(super) fn perform(shared: &Shared, host: &str, port: u16) -> io::Result<Output> {
    let host = host.to_owned();
    let addresses = shared.names().run(shared, move || resolve_blocking(&host, port))??;
    Ok(Output::Addresses(addresses))
}
