//! Tasks on their way to a backend.

use std::fmt;

use super::error::SpawnErrorKind;
use super::options::TaskOptions;
use super::owner::Owner;
use super::queue::Ticket;
use super::task::Run;
use super::turn::Turn;
use crate::context::{SHUT_DOWN, TORN_DOWN};

/// Says what a task needs in order to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnMode {
    /// May run in any order: it takes a unit of concurrency if one is free. Otherwise it runs inline, before
    /// [`Io::start`](crate::Io::start) returns, or is refused if it may not run inline
    /// ([`TaskOptions::may_run_inline`]). A task that may run inline can be [offered](Start::offer) to its joiner.
    /// Counts against `async_limit`.
    Async,
    /// Has to make progress beside the caller, or is refused. Counts against `concurrent_limit`.
    Concurrent,
    /// Has to make progress beside the caller, which waits for a slot; the wait is a cancellation point.
    Waiting,
    /// Runs on a thread of its own, with the task's name and stack, and may block that thread: a worker of a pool for
    /// blocking calls, for example. Counts against no limit; the code that starts such tasks limits their number.
    Thread,
}

/// A task that has not started. The holder runs it on a context of its choice, which consumes it. Dropping it without
/// running completes the task as abandoned.
///
/// There is one `Start` for each task, so a task runs once, whatever an `Io` does:
///
/// ```compile_fail,E0382
/// fn twice(start: iolite_io::backend::Start) {
///     start.run();
///     start.run();
/// }
/// ```
///
/// A task cannot both run and be refused:
///
/// ```compile_fail,E0382
/// use iolite_io::backend::{Refused, Start};
/// use iolite_io::{SpawnErrorKind, error::ShutDown};
///
/// fn run_and_refuse(start: Start) -> Result<(), Refused> {
///     start.run_with(|| {});
///     Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) })
/// }
/// ```
///
/// And no other code can make a second `Start` of the same task:
///
/// ```compile_fail,E0599
/// fn again(start: &iolite_io::backend::Start) -> iolite_io::backend::Start {
///     start.clone()
/// }
/// ```
#[must_use]
pub struct Start(Turn<'static>);

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("name", &self.name()).finish()
    }
}

impl Start {
    pub(crate) fn new(turn: Turn<'static>) -> Self {
        Self(turn)
    }

    /// Runs the task to its end on the calling context. On top of a running task, it is an inline child: it has a
    /// cancellation state of its own, and requests to the task below are copied.
    ///
    /// A panic of the task is not raised here: it goes to the joiner of the task.
    ///
    /// # Panics
    ///
    /// Panics if inline tasks nest deeper than 40; the task is then abandoned.
    pub fn run(self) {
        self.run_with(|| {});
    }

    /// Runs the task like [`run`](Self::run), and calls `ended` when the task has ended and before its joiner can know:
    /// the resources of a task are free again by the time its join returns. Values that the task leaves behind, such as
    /// a result that nobody joins, have been dropped by then.
    ///
    /// `ended` must not block for long.
    ///
    /// # Panics
    ///
    /// Panics in the same case as [`run`](Self::run); `ended` is then dropped without having been called. Resumes a
    /// panic of `ended`, after the task has completed.
    pub fn run_with(self, ended: impl FnOnce()) {
        let mut ended = Some(ended);
        let run = self.0.run(&mut || {
            if let Some(ended) = ended.take() {
                ended();
            }
        });
        if let Err(too_deep) = run {
            panic!("{too_deep}");
        }
    }

    /// Lets the joiner of the task begin it, through [`Io::try_run_inline`](crate::Io::try_run_inline) with this
    /// ticket. The backend is about to put this `Start` into a queue under the ticket. Only for [`SpawnMode::Async`],
    /// whose tasks may run on top of others.
    #[inline]
    pub fn offer(&self, ticket: Ticket) {
        self.0.task().offer(ticket);
    }

    /// Returns the task, for cancellation at shutdown and for reports.
    pub fn task(&self) -> TaskRef {
        TaskRef(self.0.task().clone())
    }

    /// Returns the task's name in reports: its own name, or else the path of its closure.
    pub fn name(&self) -> &str {
        self.0.task().name()
    }

    /// Returns the options of the task. A backend that cannot meet them refuses the task.
    #[inline]
    pub fn options(&self) -> &TaskOptions {
        self.0.task().options()
    }

    pub(crate) fn into_turn(self) -> Turn<'static> {
        self.0
    }
}

/// A started task, as seen by its runtime.
#[derive(Clone)]
pub struct TaskRef(Owner<dyn Run>);

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskRef").field(&self.name()).finish()
    }
}

impl PartialEq for TaskRef {
    /// Returns true if both are the same task.
    fn eq(&self, other: &Self) -> bool {
        self.0.address() == other.0.address()
    }
}

impl Eq for TaskRef {}

impl TaskRef {
    /// Requests permanent cancellation because the runtime shuts down: from then on every cancellation point of the
    /// task returns `Canceled`. Tear parents down before the tasks that they have started, so that no parent sees one
    /// of them end before it is asked to stop itself.
    pub fn tear_down(&self) {
        self.0.state().request(TORN_DOWN | SHUT_DOWN);
    }

    /// Returns the task's name in reports: its own name, or else the path of its closure.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Returns true if the task has begun and has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.0.state().is_running()
    }

    /// Returns true if the task was ever asked to stop.
    pub(crate) fn is_canceled(&self) -> bool {
        self.0.state().is_canceled()
    }
}

/// A task that an `Io` did not start.
#[derive(Debug)]
pub struct Refused {
    /// The task, which has not run.
    pub start: Start,
    /// The reason.
    pub kind: SpawnErrorKind,
}
