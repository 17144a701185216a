//! Tasks that an [`Io`](crate::Io) starts for whoever holds their handle.

mod options;

mod join;
mod owner;
mod owners;
mod parcel;
mod run;
mod slot;
mod turn;

mod cell;
mod task_io;

mod builder;
mod finishing;
mod handle;
mod local;
mod spawn;

pub(crate) use builder::sealed;
pub use builder::{Spawner, TaskBuilder};
pub(crate) use cell::{Outcome, TaskCell};
pub(crate) use finishing::Finishing;
pub use handle::Task;
pub(crate) use handle::{detach, join};
pub use local::FiberLocal;
pub use options::{InvalidOption, Placement, TaskOptions};
pub(crate) use owner::Owner;
pub(crate) use parcel::Parcel;
pub(crate) use run::{Membership, Run};
pub(crate) use slot::Body;
pub(crate) use spawn::start;
pub(crate) use task_io::{TaskIo, call_reporting};
pub(crate) use turn::Turn;
