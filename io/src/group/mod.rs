//! Groups: any number of tasks that are awaited or canceled as a whole.
//!
//! The memory of a member is freed when the member returns, not when the group ends, so a group can live for months.

mod state;

mod scope;
mod scoped_task;

mod owned;
mod scoped;

pub use owned::OwnedGroup;
pub(crate) use scope::run_to_end;
pub use scoped::Group;
pub use scoped_task::ScopedTask;
pub(crate) use state::GroupShared;
