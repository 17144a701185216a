//! Dumps of the tasks of a runtime, for finding a task that does not end.

use std::fmt;

use crate::Io;
use crate::runnable::TaskRef;

impl<'io> dyn Io + 'io {
    /// Returns the tasks that have begun and have not ended, with their names, and says which of them were asked to
    /// stop. Use it to find the task for which a join or a shutdown waits. Never waits for a task, even if one computes
    /// and lets no other task run.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::Io;
    ///
    /// /// Waits for a session to end, and says which tasks remain if that takes long.
    /// fn stop(io: &dyn Io, session: iolite_io::Task<()>) -> std::io::Result<()> {
    ///     session.request_cancel();
    ///     let deadline = io.now() + Duration::from_secs(5);
    ///     let mut session = session;
    ///     if let iolite_io::select::OneOf2::Second(()) = io.select((session.on_finish(), deadline))? {
    ///         eprint!("a session does not end:\n{}", io.dump());
    ///     }
    ///     session.join(io);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Tasks that have not begun may be missing, and so may tasks that run on top of others. When a runtime shuts down,
    /// it reports by itself which tasks it waits for, after its `shutdown_grace`.
    pub fn dump(&self) -> Dump {
        Dump::of(&self.tasks())
    }
}

/// The tasks that have begun and have not ended, at one moment; from [`io.dump()`](crate::Io#method.dump). Prints one
/// line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// The tasks, in no particular order.
    pub tasks: Vec<DumpedTask>,
}

/// A task in a [`Dump`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DumpedTask {
    /// The name of the task, or else the path of its closure.
    pub name: String,
    /// True if the task was asked to stop. If it goes on for long after that, it may be the task for which a join, a
    /// group or a shutdown waits.
    pub is_canceled: bool,
}

impl Dump {
    pub(crate) fn of(tasks: &[TaskRef]) -> Self {
        let running = tasks.iter().filter(|task| task.is_running());
        let tasks = running.map(|task| DumpedTask { name: task.name().to_owned(), is_canceled: task.is_canceled() });
        Self { tasks: tasks.collect() }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for DumpedTask { name, is_canceled } in &self.tasks {
            writeln!(f, "{name}{}", if *is_canceled { ": was asked to stop" } else { "" })?;
        }
        Ok(())
    }
}
