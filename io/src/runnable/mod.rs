//! Tasks that have not begun, in the form in which an [`Io`](crate::Io) receives them.

mod error;
mod options;
mod queue;

mod owner;
mod owners;
mod parcel;
mod task;
mod turn;

mod start;

pub use error::{ConcurrencyUnavailable, ShutDown, SpawnError, SpawnErrorKind};
pub use options::{InvalidOption, Placement, TaskOptions};
pub(crate) use owner::{Owned, Owner};
pub(crate) use owners::Owners;
pub(crate) use parcel::Parcel;
pub use queue::{Ticket, UnstartedQueue};
pub use start::{Refused, SpawnMode, Start, TaskRef};
pub(crate) use task::{Membership, Run};
pub(crate) use turn::Turn;
