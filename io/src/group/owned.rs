//! Groups of tasks that borrow nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::handle::Group;
use crate::Io;
use crate::context::TORN_DOWN;
use crate::dropping::drop_panic;
use crate::task::TaskIo;

/// A [`Group`] of tasks that borrow nothing, for fields of structs that live long.
///
/// Dropping it requests cancellation of every member, so that each of their cancellation points returns `Canceled` from then
/// on, and does not wait for them: the runtime does, at its end. [`wait`](Group::wait) and [`cancel`](Group::cancel) wait.
///
/// The group has no body that could be told that a member has panicked. So after a panic the other members are torn down, and
/// so is every task that `spawn_async` starts, while the other ways to start a member fail with `Canceled`, until `wait` or
/// `cancel` has resumed the panic. A group that [contains](Group::contain_panics) the panics of its members goes on instead.
pub struct OwnedGroup(Group<'static, 'static>);

impl fmt::Debug for OwnedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedGroup").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl OwnedGroup {
    /// Makes a group whose members are handed `io`, an [`Io::handle`](crate::Io::handle).
    pub fn new(io: Arc<dyn Io>) -> Self {
        Self(Group::new(TaskIo::Kept(io)))
    }
}

impl Deref for OwnedGroup {
    type Target = Group<'static, 'static>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for OwnedGroup {
    fn drop(&mut self) {
        self.0.shared().request(TORN_DOWN);
        self.0.shared().close().into_iter().for_each(drop_panic);
    }
}
