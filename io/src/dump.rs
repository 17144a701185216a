//! What a runtime has under way, for who looks for a task that does not end.

use std::fmt;

use crate::Io;
use crate::runnable::TaskRef;

impl<'io> dyn Io + 'io {
    /// The tasks that have begun and have not ended, by their names, and which of them were asked to stop: for who
    /// looks for the one that a join or a shutdown waits for. Never waits for a task, also where one computes and
    /// lets no other run.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::Io;
    ///
    /// /// Lets a peer go; says who is still there when that takes long.
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
    /// Tasks that wait for their turn may be missing, and so may those that run on top of others. A runtime that shuts
    /// down tells by itself which tasks it waits for, after its `shutdown_grace`.
    pub fn dump(&self) -> Dump {
        Dump::of(&self.tasks())
    }
}

/// The tasks that have begun and have not ended, at one moment; from [`io.dump()`](crate::Io#method.dump). Prints a line
/// for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// In no order.
    pub tasks: Vec<DumpedTask>,
}

/// A task in a [`Dump`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DumpedTask {
    /// What it is called: its name, or else the path of its closure.
    pub name: String,
    /// It was asked to stop. If it goes on for long after that, it may be what a join, a group or a shutdown waits for.
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
