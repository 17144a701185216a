//! The executors of a runtime, as its other executors and its handles see them.

use std::io;
use std::ptr;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use iolite_io::backend::{Count, LiveIndex, LiveTasks, Lock, TaskRef};

use crate::remote::{Inbox, Message};

/// The executors of a runtime.
pub(crate) struct Peers {
    peers: Box<[Peer]>,
    /// The number of executors that were made and have not ended.
    alive: Count,
}

/// One executor.
struct Peer {
    inbox: &'static Inbox,
    /// The tasks of the executor's fibers.
    tasks: Lock<LiveTasks>,
    /// Set when the inbox was given back: it may belong to another executor by now, and must not be given back again.
    given_back: AtomicBool,
}

impl Peer {
    #[inline]
    fn tasks(&self) -> MutexGuard<'_, LiveTasks> {
        self.tasks.lock()
    }

    fn give_back(&self) {
        // Relaxed: the update only decides which thread gives it back.
        if !self.given_back.swap(true, Ordering::Relaxed) {
            self.inbox.give_back();
        }
    }
}

impl Drop for Peer {
    /// The executor may never have been made.
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Peers {
    /// Takes an inbox for each of `count` executors.
    ///
    /// # Errors
    ///
    /// An error if no descriptor is free.
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let peer = |_| Ok(Peer { inbox: Inbox::take()?, tasks: Lock::default(), given_back: AtomicBool::new(false) });
        Ok(Self { peers: (0..count).map(peer).collect::<io::Result<_>>()?, alive: Count::new(0) })
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    #[inline]
    pub(crate) fn inbox(&self, index: usize) -> &'static Inbox {
        self.peers[index].inbox
    }

    /// Returns the number of the executor with that inbox.
    pub(crate) fn index_of(&self, inbox: &Inbox) -> Option<usize> {
        self.peers.iter().position(|peer| ptr::eq(peer.inbox, inbox))
    }

    /// Notes that an executor was made. All are made before the first of them can end.
    pub(crate) fn executor_begins(&self) {
        self.alive.add();
    }

    /// Notes that an executor has ended. The last one makes the inboxes of all executors available to later executors.
    /// It must not happen earlier: the remaining executors look into the inboxes of the others for operations, and
    /// would find those of another runtime there.
    pub(crate) fn executor_ends(&self) {
        if self.alive.remove() {
            self.peers.iter().for_each(Peer::give_back);
        }
    }

    /// Registers the task that a fiber of an executor is about to run.
    #[inline]
    pub(crate) fn enter(&self, executor: usize, task: TaskRef) -> LiveIndex {
        self.peers[executor].tasks().enter(task)
    }

    /// Removes a task that has ended.
    #[inline]
    pub(crate) fn remove(&self, executor: usize, index: LiveIndex) {
        // The task is dropped outside of the lock.
        let _task = self.peers[executor].tasks().remove(index);
    }

    /// Returns the tasks of the fibers of one executor, in the order in which they began.
    pub(crate) fn tasks_of(&self, executor: usize) -> Vec<TaskRef> {
        self.peers[executor].tasks().all()
    }

    /// Returns the tasks of all fibers.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskRef> {
        (0..self.len()).flat_map(|executor| self.tasks_of(executor))
    }

    /// Wakes one sleeping executor other than number `except`, if there is one.
    pub(crate) fn wake_a_sleeper(&self, except: usize) {
        let mut others = self.peers.iter().enumerate().filter(|(index, _)| *index != except);
        others.any(|(_, peer)| peer.inbox.wake_executor());
    }

    pub(crate) fn wake_all(&self) {
        self.peers.iter().for_each(|peer| _ = peer.inbox.wake_executor());
    }

    /// Takes operations that were handed to executors other than number `own` and that these have not reached. Returns
    /// true if there were any.
    pub(crate) fn take_messages(&self, own: usize, mut perform: impl FnMut(&Message)) -> bool {
        let others = self.peers.iter().enumerate().filter(|(index, _)| *index != own);
        others.fold(false, |found, (index, peer)| peer.inbox.take_messages(index, &mut perform) || found)
    }
}
