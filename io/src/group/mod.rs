//! Groups: any number of tasks, awaited or canceled as a whole.
//!
//! The memory of a member is freed when the member returns, not when the group ends, so a group
//! can live for months.

mod state;

mod shared;

mod scoped_task;

mod handle;

mod owned;
mod scope;

pub use handle::Group;
pub use owned::OwnedGroup;
pub(crate) use scope::run_to_end;
pub use scoped_task::ScopedTask;
pub(crate) use shared::GroupShared;
