//! Calls that can only block a thread.

use std::io;

use iolite_io::backend::{BlockingPool, Context, perform_file};
use iolite_io::fs::FileOperation;
use iolite_io::{
    Canceled, Io,
    operation::{Job, Output},
};

use crate::runtime::Runtime;

/// Runs a closure: on the calling context if that is a thread, otherwise on a pool of the runtime.
pub(super) fn perform(runtime: &Runtime, context: &Context, job: Job<'_>) -> io::Result<Output> {
    perform_on(runtime.closures(), runtime, context, job)
}

/// Performs file operations that the ring does not have. They use threads that no closure of the program occupies,
/// because a closure may wait for the result.
pub(super) fn perform_files(runtime: &Runtime, context: &Context, operation: FileOperation<'_>) -> io::Result<Output> {
    call_for_files(runtime, context, || perform_file(operation))
}

/// Makes a call that waits for nothing but a file system. It runs on the calling context if that is a thread, or if the
/// system cannot start a thread; otherwise on a thread of the runtime.
pub(super) fn call_for_files<T: Send>(
    runtime: &Runtime,
    context: &Context,
    call: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let (mut call, mut result) = (Some(call), None);
    let mut job = || result = call.take().map(|call| call());
    match perform_on(runtime.files(), runtime, context, Job::new(&mut job)) {
        Err(error) if Canceled::is_in(&error) => Err(error),
        // The executor's other fibers wait as well, which is better than refusing the call every time.
        Err(error) => match call {
            Some(call) => runtime.run_on_behalf(call),
            None => Err(error),
        },
        Ok(_) => result.unwrap_or_else(|| unreachable!("the job has run")),
    }
}

fn perform_on(pool: &BlockingPool, runtime: &Runtime, context: &Context, job: Job<'_>) -> io::Result<Output> {
    if context.is_thread() {
        let io: &dyn Io = runtime;
        io.shield(|_| job.run());
    } else {
        let mut job = Some(job);
        let mut run = || {
            if let Some(job) = job.take() {
                runtime.run_on_behalf(|| job.run());
            }
        };
        pool.run_to_end(runtime, Job::new(&mut run))?;
    }
    Ok(Output::Done)
}
