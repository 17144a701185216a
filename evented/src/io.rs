//! The `Io` of an evented runtime.

use std::io;
use std::sync::Arc;

use iolite_io::backend::{
    Multishot, Refused, Report, SpawnMode, Start, TaskRef, Ticket, current, monotonic_now, system_random,
};
use iolite_io::{
    Backend, Instant, Io,
    operation::{Operation, Output},
};

use crate::executor::Executor;
use crate::op::{self, RingMultishot};
use crate::runtime::Runtime;

impl Io for Runtime {
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        Runtime::start(self, self, start, how)
    }

    fn try_run_inline(&self, ticket: Ticket) {
        Executor::with_current(|executor| {
            if executor.belongs_to(self) {
                executor.try_run_inline(ticket);
            }
        });
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        current(|context| {
            if operation.is_point() {
                context.check_operation(self)?;
            }
            op::operate(self, context, operation)
        })
    }

    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        self.this().map(|runtime| Box::new(RingMultishot::new(runtime)) as _)
    }

    fn now(&self) -> Instant {
        monotonic_now()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        system_random(bytes)
    }

    fn backend(&self) -> Backend {
        let executors = self.options().executors;
        let noun = if executors == 1 { "executor" } else { "executors" };
        Backend { name: "evented", executors, detail: format!("io_uring: {}; {executors} {noun}", self.features()) }
    }

    fn tasks(&self) -> Vec<TaskRef> {
        self.tasks()
    }

    fn report(&self) -> Option<Report> {
        self.options().report.clone()
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this().map(|runtime| runtime as _)
    }
}
