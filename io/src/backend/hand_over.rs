//! Handing a job to a thread of its own.

use std::io;
use std::sync::Arc;
use std::thread;

use crate::context::claim_thread;
use crate::primitive::Lock;

/// Starts a thread that runs `body` with `job`. If `stack_bytes` is `None`, the system chooses the size of the stack.
/// The name may contain anything; the system gets as much of it as it accepts.
///
/// # Errors
///
/// Returns the job, and the reason why the system started no thread.
pub fn spawn_with<J: Send + 'static>(
    name: &str,
    stack_bytes: Option<usize>,
    job: J,
    body: impl FnOnce(J) + Send + 'static,
) -> Result<(), (J, io::Error)> {
    // std panics on an interior NUL.
    let mut thread = thread::Builder::new().name(name.replace('\0', ""));
    if let Some(bytes) = stack_bytes {
        thread = thread.stack_size(bytes);
    }
    // Shared instead of owned by the thread's closure, which a failing spawn drops.
    let place = Arc::new(Lock::new(Some(job)));
    let handed = place.clone();
    let spawned = thread.spawn(move || {
        claim_thread();
        let job = handed.lock().take();
        if let Some(job) = job {
            body(job);
        }
    });
    match spawned {
        Ok(_) => Ok(()),
        Err(error) => {
            let job = place.lock().take();
            Err((job.expect("no thread took it"), error))
        }
    }
}
