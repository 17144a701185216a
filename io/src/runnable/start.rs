//! A task on its way to where it runs.

use std::fmt;

use super::error::SpawnErrorKind;
use super::options::TaskOptions;
use super::owner::Owner;
use super::queue::Ticket;
use super::task::Run;
use super::turn::Turn;
use crate::context::{SHUT_DOWN, TORN_DOWN};

/// What a task needs in order to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnMode {
    /// Order does not matter: on a unit of concurrency if one is free, else inline, before
    /// [`Io::start`](crate::Io::start) returns, or refused if it may not
    /// ([`TaskOptions::may_run_inline`]). One that may can be [offered](Start::offer) to who joins it.
    /// Counted against `async_limit`.
    Async,
    /// It must make progress beside the caller, or is refused. Counted against `concurrent_limit`.
    Concurrent,
    /// As `Concurrent`, but the caller waits for a slot, which is a cancellation point.
    Waiting,
    /// On a thread of its own, with the task's name and stack, which it may block: a worker of a
    /// pool for what can only block. Counted against no limit; who starts it bounds it.
    Thread,
}

/// A task that has not started. Whoever holds it runs it, on a context of its choice, which consumes it;
/// dropping it unrun completes the task as abandoned.
///
/// There is one of each task, so a task runs once, whatever an `Io` does:
///
/// ```compile_fail,E0382
/// fn twice(start: iolite_io::backend::Start) {
///     start.run();
///     start.run();
/// }
/// ```
///
/// Nor does it run and is refused all the same:
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
/// And nobody else can make one of the same task:
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

    /// Runs the task on the calling context, to its end. On top of a running task it is an inline
    /// child: it has a cancellation state of its own, and requests to the task below are copied.
    ///
    /// Never panics: a panic of the task goes to who joins it.
    ///
    /// # Panics
    ///
    /// When inline tasks nest deeper than 40; the task is then abandoned.
    pub fn run(self) {
        self.run_with(|| {});
    }

    /// As [`run`](Self::run), and calls `ended` when the task has ended and before whoever joins
    /// can know: what a task occupies is free again by the time its join returns. What the task leaves behind, such as
    /// the result of one that nobody joins, has been dropped by then.
    ///
    /// `ended` must not block for long.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run); `ended` is then dropped without having been called. Resumes a panic of `ended`, after the
    /// task has completed.
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

    /// Lets whoever joins the task begin it, through [`Io::try_run_inline`](crate::Io::try_run_inline) with
    /// this ticket, under which the backend is about to put this into a queue. Only for
    /// [`SpawnMode::Async`], whose tasks may run on top of another.
    #[inline]
    pub fn offer(&self, ticket: Ticket) {
        self.0.task().offer(ticket);
    }

    /// The task, for cancellation at shutdown and for reports.
    pub fn task(&self) -> TaskRef {
        TaskRef(self.0.task().clone())
    }

    /// What the task is called in reports: its name, or else the path of its closure.
    pub fn name(&self) -> &str {
        self.0.task().name()
    }

    /// What the task asks for. Whoever cannot give it refuses the task.
    #[inline]
    pub fn options(&self) -> &TaskOptions {
        self.0.task().options()
    }

    pub(crate) fn into_turn(self) -> Turn<'static> {
        self.0
    }
}

/// A started task as its runtime knows it.
#[derive(Clone)]
pub struct TaskRef(Owner<dyn Run>);

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskRef").field(&self.name()).finish()
    }
}

impl PartialEq for TaskRef {
    /// Whether both are the same task.
    fn eq(&self, other: &Self) -> bool {
        self.0.address() == other.0.address()
    }
}

impl Eq for TaskRef {}

impl TaskRef {
    /// Requests cancellation for good, since the runtime shuts down: every cancellation point of the task returns
    /// `Canceled`. Parents are to be torn down before the tasks that they have started, so that none of them sees the end
    /// of one before it is asked to stop itself.
    pub fn tear_down(&self) {
        self.0.state().request(TORN_DOWN | SHUT_DOWN);
    }

    /// What the task is called in reports: its name, or else the path of its closure.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether it has begun and has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.0.state().is_running()
    }

    /// Whether it was ever asked to stop.
    pub(crate) fn is_canceled(&self) -> bool {
        self.0.state().is_canceled()
    }
}

/// An `Io` does not start a task.
#[derive(Debug)]
pub struct Refused {
    /// The task, unrun.
    pub start: Start,
    /// Why.
    pub kind: SpawnErrorKind,
}
