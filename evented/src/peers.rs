//! The executors of a runtime, as the others and its handles know them.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use iolite_io::backend::{Count, TaskRef};
use slab::Slab;

use crate::remote::{Inbox, Message};

/// The executors of a runtime.
pub(crate) struct Peers {
    peers: Box<[Peer]>,
    /// Executors that were made and have not ended.
    alive: Count,
}

/// One executor.
struct Peer {
    inbox: &'static Inbox,
    /// The tasks of its fibers.
    tasks: Mutex<Slab<TaskRef>>,
    /// The inbox may be another executor's by now, and must not be given back again.
    given_back: AtomicBool,
}

impl Peer {
    #[inline]
    fn tasks(&self) -> MutexGuard<'_, Slab<TaskRef>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        // Relaxed: the update decides who gives it back, and nothing else.
        if !self.given_back.swap(true, Ordering::Relaxed) {
            self.inbox.give_back();
        }
    }
}

impl Drop for Peer {
    /// Its executor may never have been made.
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Peers {
    /// Takes an inbox for each of `count` executors.
    ///
    /// # Errors
    ///
    /// When no descriptor is free.
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let peer = |_| Ok(Peer { inbox: Inbox::take()?, tasks: Mutex::default(), given_back: AtomicBool::new(false) });
        Ok(Self { peers: (0..count).map(peer).collect::<io::Result<_>>()?, alive: Count::new(0) })
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    #[inline]
    pub(crate) fn inbox(&self, index: usize) -> &'static Inbox {
        self.peers[index].inbox
    }

    /// The number of the executor with that inbox.
    pub(crate) fn index_of(&self, inbox: &Inbox) -> Option<usize> {
        self.peers.iter().position(|peer| ptr::eq(peer.inbox, inbox))
    }

    /// Notes that an executor was made. All are made before the first of them can end.
    pub(crate) fn executor_begins(&self) {
        self.alive.add();
    }

    /// Notes that an executor has ended. The last one lets later executors use the inboxes of all: until then, the
    /// executors that are left look into the others' for operations, and would find those of another runtime there.
    pub(crate) fn executor_ends(&self) {
        if self.alive.remove() {
            self.peers.iter().for_each(Peer::give_back);
        }
    }

    /// Enters the task that a fiber of an executor is about to run, and returns its number there.
    #[inline]
    pub(crate) fn register(&self, executor: usize, task: TaskRef) -> usize {
        self.peers[executor].tasks().insert(task)
    }

    /// Removes a task that has ended.
    #[inline]
    pub(crate) fn forget(&self, executor: usize, number: usize) {
        // It is dropped outside of the lock.
        let _task = self.peers[executor].tasks().remove(number);
    }

    /// The tasks of the fibers of one executor.
    pub(crate) fn tasks_of(&self, executor: usize) -> Vec<TaskRef> {
        self.peers[executor].tasks().iter().map(|(_, task)| task.clone()).collect()
    }

    /// The tasks of all fibers.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskRef> {
        (0..self.len()).flat_map(|executor| self.tasks_of(executor))
    }

    /// Wakes one executor that sleeps, if there is one beside number `except`.
    pub(crate) fn wake_a_sleeper(&self, except: usize) {
        let mut others = self.peers.iter().enumerate().filter(|(index, _)| *index != except);
        others.any(|(_, peer)| peer.inbox.wake_executor());
    }

    pub(crate) fn wake_all(&self) {
        self.peers.iter().for_each(|peer| _ = peer.inbox.wake_executor());
    }

    /// Takes operations that were handed to other executors than number `own`, which have not come to them. Returns
    /// whether there were any.
    pub(crate) fn take_messages(&self, own: usize, mut perform: impl FnMut(&Message)) -> bool {
        let others = self.peers.iter().enumerate().filter(|(index, _)| *index != own);
        others.fold(false, |found, (index, peer)| peer.inbox.take_messages(index, &mut perform) || found)
    }
}
