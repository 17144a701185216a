//! The `Io` of a [`Threaded`](crate::Threaded).

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};

use iolite_io::backend::{
    Lookups, Refused, Report, SpawnMode, Start, TaskRef, Ticket, current, guard_panic_hook, make_room_for_descriptors,
    monotonic_now, perform_nonblocking, system_random,
};
use iolite_io::{
    Backend, Instant, Io,
    error::ShutDown,
    operation::{Operation, Output},
};

use crate::dispatch;
use crate::fiber;
use crate::options::Options;
use crate::pool::{EXECUTORS, Pool};

/// The state that all handles share. It owns no task, because tasks own handles.
pub(crate) struct Runtime {
    pub(crate) pool: Arc<Pool>,
    /// The pool for name lookups, which nothing can interrupt.
    lookups: Lookups,
    this: Weak<Runtime>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Runtime {
    pub(crate) fn new(options: Options) -> Arc<Self> {
        guard_panic_hook();
        make_room_for_descriptors();
        Arc::new_cyclic(|this| Self {
            lookups: Lookups::new(options.lookup_limit, options.lookup_timeout),
            pool: Arc::new(Pool::new(options)),
            this: this.clone(),
        })
    }

    pub(crate) fn shutdown(&self) {
        self.pool.shutdown(self);
    }
}

impl Io for Runtime {
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        self.pool.start(self, start, how)
    }

    fn try_run_inline(&self, ticket: Ticket) {
        self.pool.try_run_inline(ticket);
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        current(|context| {
            if operation.is_point() {
                context.check_operation(self)?;
            }
            if self.pool.is_over() {
                return Err(ShutDown.into());
            }
            match perform_nonblocking(operation) {
                Ok(result) => result,
                Err(operation) if context.is_thread() || !dispatch::needs_thread(&operation) => {
                    dispatch::operate(self, &self.lookups, context, operation)
                }
                Err(operation) => fiber::perform(self, context, operation),
            }
        })
    }

    fn now(&self) -> Instant {
        monotonic_now()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        system_random(bytes)
    }

    fn backend(&self) -> Backend {
        Backend { name: "threaded", executors: EXECUTORS, detail: self.pool.options().to_string() }
    }

    fn tasks(&self) -> Vec<TaskRef> {
        self.pool.tasks()
    }

    fn report(&self) -> Option<Report> {
        self.pool.options().report.clone()
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }
}
