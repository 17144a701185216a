//! Groups whose members borrow nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::scoped::Group;
use crate::Io;
use crate::context::TORN_DOWN;
use crate::dropping::drop_panic;
use crate::task::TaskIo;

/// A [`Group`] without a scope: its tasks borrow nothing, and dropping it cancels them. It can be a field of a struct.
///
/// Dropping it requests permanent cancellation of every member and does not wait; the runtime waits for them at its end.
/// [`wait`](Group::wait) and [`cancel`](Group::cancel) wait.
///
/// An `OwnedGroup` has no body that could be told of the panic of a member. Instead, such a panic cancels the other members
/// permanently. Until `wait` or `cancel` has resumed the panic, `spawn_async` starts members canceled, and the other ways to
/// start a member fail with `Canceled`. [`Group::contain_panics`] changes that.
pub struct OwnedGroup(Group<'static, 'static>);

impl fmt::Debug for OwnedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedGroup").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl OwnedGroup {
    /// Makes a group whose members are given `io`, which is the [`handle`](crate::Io::handle) of a backend.
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
