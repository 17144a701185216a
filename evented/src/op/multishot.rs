//! Accepting and receiving, submitted once and answered many times.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::task::Poll;

use io_uring::opcode;
use iolite_io::backend::{Arrival, Context, Multishot, Source, current, park};
use iolite_io::{Canceled, Io};
use rustix::process::{Resource, getrlimit};

use crate::executor::{Armed, Executor, Lent};
use crate::remote::{Completion, Kind};
use crate::ring::CQ_ENTRIES;
use crate::runtime::Runtime;
use crate::sys;

/// An operation that a fiber of the runtime arms in its executor's ring, each time it has ended and
/// the fiber asks for more. Its answers can be taken anywhere; but a context that is no fiber of
/// the runtime arms nothing, for a wake-up on another thread costs it more than single operations.
#[derive(Debug)]
pub(crate) struct RingMultishot {
    runtime: Arc<Runtime>,
    armed: Option<Armed>,
    /// The kernel has not said that it does not know it.
    supported: bool,
}

impl RingMultishot {
    pub(crate) fn new(runtime: Arc<Runtime>) -> Self {
        Self { runtime, armed: None, supported: true }
    }

    /// What was armed, or is now; then `lent` is what the caller keeps for as long as its source is borrowed.
    fn armed(&mut self, context: &Context, source: Source<'_>, lent: &mut Option<Lent>) -> Option<&Armed> {
        if self.armed.is_none() && self.supported {
            let armed = Executor::with_current_of(&self.runtime, context, |executor| arm(executor, source)).flatten();
            (self.armed, *lent) = armed.unzip();
        }
        self.armed.as_ref()
    }

    /// What an answer means to the caller; `None` when it has to do with a single operation.
    fn arrival(&mut self, answer: io::Result<Completion>) -> Option<io::Result<Arrival>> {
        match answer {
            Ok(answer) => arrival(answer).map(Ok),
            Err(error) => match error.raw_os_error() {
                // A kernel before 6.0.
                Some(sys::EINVAL) => {
                    self.supported = false;
                    None
                }
                Some(errno) if is_for_single(errno) => None,
                _ => Some(Err(error)),
            },
        }
    }
}

impl Multishot for RingMultishot {
    fn next(&mut self, io: &dyn Io, source: Source<'_>) -> Option<io::Result<Arrival>> {
        current(|context| {
            if let Err(canceled) = context.check(io) {
                return Some(Err(canceled.into()));
            }
            // Every way out drops it, a panic of `io` in a wait too.
            let mut lent = None;
            loop {
                let armed = self.armed(context, source, &mut lent)?;
                match wait(io, context, armed) {
                    Ok(Some(Err(error))) if error.raw_os_error() == Some(sys::ECANCELED) => {}
                    // The last free buffers of the pool have come there since, where nobody else finds them.
                    Ok(Some(Err(error))) if error.raw_os_error() == Some(sys::ENOBUFS) && armed.has_buffers() => {}
                    Ok(Some(answer)) => return self.arrival(answer),
                    // It has ended, and is armed again.
                    Ok(None) => self.armed = None,
                    Err(canceled) => return Some(Err(canceled.into())),
                }
            }
        })
    }

    fn stop(mut self: Box<Self>, _: &dyn Io) -> Vec<io::Result<Arrival>> {
        let Some(armed) = self.armed.take() else { return Vec::new() };
        armed.cancel();
        current(|context| {
            while !armed.is_over_or_wakes(context.unparker()) {
                park(None);
            }
        });
        armed.take_all().filter_map(|answer| self.arrival(answer)).collect()
    }
}

impl Drop for RingMultishot {
    fn drop(&mut self) {
        if let Some(armed) = self.armed.take() {
            armed.abandon();
        }
    }
}

/// Waits for the next answer; nothing when it has ended and all were taken.
fn wait(io: &dyn Io, context: &Context, armed: &Armed) -> Result<Option<io::Result<Completion>>, Canceled> {
    armed.top_up();
    loop {
        if let Poll::Ready(answer) = armed.poll(context.unparker()) {
            return Ok(answer);
        }
        if let Err(canceled) = context.check_within_wait(io) {
            armed.forget_waiter();
            return Err(canceled);
        }
        park(context.deadline());
    }
}

fn arm(executor: &Executor, source: Source<'_>) -> Option<(Armed, Lent)> {
    if !executor.completes_inside_only() {
        return None;
    }
    let (kind, entry) = match source {
        Source::Connections { listener } if may_accept_ahead() => {
            let entry = opcode::AcceptMulti::new(sys::fd(listener)).flags(sys::SOCK_CLOEXEC);
            (Kind::Accept, entry.build())
        }
        Source::Bytes { socket, pool } => {
            let group = executor.acquire_buffers(pool)?;
            (Kind::Receive { group }, opcode::RecvMulti::new(sys::fd(socket), group).build())
        }
        _ => return None,
    };
    // SAFETY: neither entry points to anything; the group was just acquired.
    Some(unsafe { executor.arm(kind, entry) })
}

fn arrival(answer: Completion) -> Option<Arrival> {
    match answer {
        Completion::Connection(descriptor) => Some(Arrival::Connection(descriptor)),
        Completion::Bytes(buffer) => Some(Arrival::Bytes(buffer)),
        Completion::End => Some(Arrival::End),
        Completion::Sent(_) => None,
    }
}

/// Whether a single operation gets further: no buffer is at hand, or the kernel cannot wait for this
/// descriptor. It tells by itself what is really wrong.
fn is_for_single(errno: i32) -> bool {
    // Without a free number the kernel does not wait for who would need it.
    matches!(errno, sys::ENOBUFS | sys::EAGAIN | sys::EOPNOTSUPP | sys::ECANCELED | sys::EMFILE | sys::ENFILE)
}

/// Whether connections may be accepted before they are asked for. In one go the kernel accepts as
/// many as the completion queue has room for: at most a quarter of the process' descriptors.
fn may_accept_ahead() -> bool {
    getrlimit(Resource::Nofile).current.is_none_or(|limit| limit >= 4 * u64::from(CQ_ENTRIES))
}
