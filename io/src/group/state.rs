//! The state of a group, which its lock guards.

use std::any::Any;
use std::fmt;

use crate::context::{Report, TaskState, Unparker, Waiters};
use crate::list::List;

/// Everything about a group that its members and its owner change.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) members: List<TaskState>,
    /// The requests that a new member starts with: `TORN_DOWN` after tear-down, `REQUESTED` while a
    /// `cancel` waits.
    pub(super) requests: u32,
    /// The first panic that nobody else will see.
    pub(super) panic: Option<Box<dyn Any + Send>>,
    /// Nobody will ask the group for its panic any more.
    pub(super) closed: bool,
    /// Set if the group contains panics: one that nobody else will see does no harm to the other members.
    pub(super) contains: Option<Containment>,
    /// A member has ended that its runtime had torn down.
    pub(super) shut_down: bool,
    /// The context that runs a scope's body.
    pub(super) body: Option<Unparker>,
    /// The contexts that wait until the group has no member.
    pub(super) waiters: Waiters,
}

impl State {
    /// Requests cancellation of every member by `bits`, and by `new_members` of those that are started later.
    pub(super) fn request(&mut self, bits: u32, new_members: u32) {
        self.requests |= new_members;
        self.members.for_each(|member| member.request(bits));
    }
}

/// The panics that a group contains.
pub(super) struct Containment {
    /// The hook that is told of each.
    pub(super) report: Option<Report>,
    pub(super) count: u64,
}

impl fmt::Debug for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containment").field("count", &self.count).finish_non_exhaustive()
    }
}
