//! The live tasks of a runtime, for its shutdown and for dumps.

use slab::Slab;

use crate::runnable::TaskRef;

/// Tasks that were entered and have not ended. The owner keeps it under a lock of its own.
#[derive(Debug, Default)]
pub struct LiveTasks {
    /// Each task with the number of tasks that were entered before it.
    tasks: Slab<(u64, TaskRef)>,
    entered: u64,
}

/// The position of a task among the live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a task has to be removed when it has ended"]
pub struct LiveIndex(usize);

impl LiveTasks {
    /// Enters a task.
    #[inline]
    pub fn enter(&mut self, task: TaskRef) -> LiveIndex {
        let number = self.entered;
        self.entered += 1;
        LiveIndex(self.tasks.insert((number, task)))
    }

    /// Removes a task that has ended. The caller drops it, outside of its lock.
    ///
    /// # Panics
    ///
    /// Panics if it was removed before.
    #[inline]
    #[must_use = "drop it outside of the lock"]
    pub fn remove(&mut self, LiveIndex(index): LiveIndex) -> TaskRef {
        self.tasks.remove(index).1
    }

    /// Returns the number of live tasks.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Returns true if there is no live task.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Returns all live tasks in the order in which they were entered: parents before the tasks that they have started,
    /// as [`TaskRef::tear_down`] requires.
    pub fn all(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<_> = self.tasks.iter().map(|(_, entry)| entry).collect();
        tasks.sort_unstable_by_key(|(number, _)| *number);
        tasks.into_iter().map(|(_, task)| task.clone()).collect()
    }
}
