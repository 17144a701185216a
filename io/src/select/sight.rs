//! What a descriptor tells, as a source.

use std::cell::OnceCell;
use std::io;
use std::os::fd::BorrowedFd;

use super::{Fact, Selectable};
use crate::Io;
use crate::context::Unparker;
use crate::fd_watcher::{self, Watch};
use crate::sealed::Token;

/// Something that stays until the waiter, who alone may, takes it; a descriptor tells that it is there.
pub(crate) trait Sight {
    type Output;

    /// Can be read from when it is there; at times also when it is not.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    fn is_there(&self) -> bool;

    /// Takes it. Never suspends: it is there.
    fn take(self, io: &dyn Io) -> io::Result<Self::Output>;
}

/// A sight to be waited for. What cannot be watched comes to the error at once.
pub(crate) struct Sighting<S> {
    sight: S,
    watch: OnceCell<io::Result<Watch>>,
}

impl<S: Sight> Sighting<S> {
    pub(crate) fn of(sight: S) -> Self {
        Self { sight, watch: OnceCell::new() }
    }
}

impl<S: Sight> Fact for Sighting<S> {
    fn is_there(&self, _: &dyn Io) -> bool {
        matches!(self.watch.get(), Some(Err(_))) || self.sight.is_there()
    }

    fn watch(&self, waiter: Unparker) {
        if let Some(descriptor) = self.sight.descriptor() {
            self.watch.get_or_init(|| fd_watcher::watch(descriptor, waiter));
        }
    }

    fn unwatch(&self) {
        if let (Some(Ok(watch)), Some(descriptor)) = (self.watch.get(), self.sight.descriptor()) {
            fd_watcher::unwatch(descriptor, watch);
        }
    }
}

impl<S: Sight> Selectable for Sighting<S> {
    type Output = io::Result<S::Output>;

    fn output(self, _: usize, io: &dyn Io, _: Token) -> Self::Output {
        match self.watch.into_inner() {
            Some(Err(error)) if !self.sight.is_there() => Err(error),
            _ => self.sight.take(io),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::Failing;

    /// Never there, and no kernel has it in a set.
    struct Unseen(File);

    impl Sight for Unseen {
        type Output = ();

        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(self.0.as_fd())
        }

        fn is_there(&self) -> bool {
            false
        }

        fn take(self, _: &dyn Io) -> io::Result<()> {
            unreachable!("it is never there")
        }
    }

    #[test]
    fn what_cannot_be_watched_is_an_error_at_once() {
        let io: &dyn Io = &Failing;
        let file = File::open("/proc/self/exe").expect("a regular file");
        let (index, seen) = io.select([Sighting::of(Unseen(file))]).expect("not canceled");
        assert_eq!((index, seen.expect_err("no set has it").kind()), (0, io::ErrorKind::PermissionDenied));
    }
}
