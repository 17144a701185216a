//! Sources that are signaled by a descriptor.

use std::cell::OnceCell;
use std::io;
use std::os::fd::BorrowedFd;

use super::{Fact, Selectable};
use crate::Io;
use crate::context::Unparker;
use crate::fd_watcher::{self, Watch};
use crate::sealed::Token;

/// An event that a descriptor reports and that stays until it is taken. Only the waiter may take it.
pub(crate) trait FdEvent {
    type Output;

    /// Returns the descriptor that becomes readable when the event has come. It may also be readable when there is
    /// none.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    fn is_there(&self) -> bool;

    /// Takes the event. Never suspends.
    fn take(self, io: &dyn Io) -> io::Result<Self::Output>;
}

/// An [`FdEvent`] as a source. If the descriptor cannot be watched, the wait ends at once with the error.
pub(crate) struct OnFd<S> {
    event: S,
    watch: OnceCell<io::Result<Watch>>,
}

impl<S: FdEvent> OnFd<S> {
    pub(crate) fn of(event: S) -> Self {
        Self { event, watch: OnceCell::new() }
    }
}

impl<S: FdEvent> Fact for OnFd<S> {
    fn is_there(&self, _: &dyn Io) -> bool {
        matches!(self.watch.get(), Some(Err(_))) || self.event.is_there()
    }

    fn watch(&self, waiter: Unparker) {
        if let Some(descriptor) = self.event.descriptor() {
            self.watch.get_or_init(|| fd_watcher::watch(descriptor, waiter));
        }
    }

    fn unwatch(&self) {
        if let (Some(Ok(watch)), Some(descriptor)) = (self.watch.get(), self.event.descriptor()) {
            fd_watcher::unwatch(descriptor, watch);
        }
    }
}

impl<S: FdEvent> Selectable for OnFd<S> {
    type Output = io::Result<S::Output>;

    fn output(self, _: usize, io: &dyn Io, _: Token) -> Self::Output {
        match self.watch.into_inner() {
            Some(Err(error)) if !self.event.is_there() => Err(error),
            _ => self.event.take(io),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::Failing;

    /// An event that never comes, on a descriptor that the kernel does not accept into an epoll set.
    struct Unseen(File);

    impl FdEvent for Unseen {
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
        let (index, seen) = io.select([OnFd::of(Unseen(file))]).expect("not canceled");
        assert_eq!((index, seen.expect_err("no set has it").kind()), (0, io::ErrorKind::PermissionDenied));
    }
}
