//! Tasks that an [`Io`](crate::Io) starts and whose handle the program holds.

mod join;
mod slot;

mod cell;
mod task_io;

mod builder;
mod finishing;
mod handle;
mod local;
mod spawn;

pub use crate::dump::{Dump, DumpedTask};
pub use crate::runnable::Placement;
pub(crate) use builder::sealed;
pub use builder::{Spawner, TaskBuilder};
pub(crate) use cell::{Outcome, TaskCell};
pub(crate) use finishing::Finishing;
pub use handle::Task;
pub(crate) use handle::{detach, join};
pub use local::FiberLocal;
pub(crate) use slot::Body;
pub(crate) use spawn::start;
pub(crate) use task_io::{TaskIo, call_reporting};
