//! Operations for fibers of other backends, whose executors must not block.

use std::io;

use iolite_io::backend::Context;
use iolite_io::{Canceled, Io, Operation, Output, ShutDown, SpawnError, SpawnErrorKind};

use crate::runtime::Runtime;

/// Performs the operation on a worker while the fiber waits for it.
///
/// It runs as a member of a group, which brings all there is to do: requests to the fiber are
/// copied to the worker, the fiber's timeouts pass to it, and nothing that the operation borrows
/// is given back before the worker has ended.
pub(crate) fn operate(runtime: &Runtime, context: &Context, operation: Operation<'_>) -> io::Result<Output> {
    let io: &dyn Io = runtime;
    let result = io.group(|group| match group.spawn_concurrent(move |io| io.operate(operation)) {
        Ok(member) => member.join(io),
        // What the operation owns, a descriptor to be closed, is dropped and so closed.
        Err(SpawnError { kind: SpawnErrorKind::ShutDown(over), .. }) => Err(over.into()),
        Err(refused) => {
            let (backend, caller) = (io.backend(), context.backend_name());
            let message = format!("{backend} has no thread to perform an operation for {caller}: {refused}");
            Err(io::Error::new(io::ErrorKind::WouldBlock, message))
        }
    });
    match result {
        // The worker had a copy of the request; the fiber's own is delivered here, once.
        Err(error) if Canceled::is_in(&error) => {
            context.check(io)?;
            // The fiber was not canceled, so the worker was, by the shutdown.
            Err(ShutDown.into())
        }
        result => result,
    }
}
