//! Jobs that nobody has begun, and the workers that come for them.
//!
//! A worker is *asleep*, *coming* (awake, without a job, about to look here) or busy. Two things always hold:
//!
//! - no job waits for another one to end: the number of workers that are asleep or coming is at least the number of
//!   jobs;
//! - while there are jobs, a worker is coming. So a new job wakes a worker only if none is coming. A worker that takes
//!   a job and leaves other jobs, for which no worker is coming, calls the next worker.
//!
//! So a burst of jobs costs its starter one wake-up, and a job that its joiner takes back costs none while a worker
//! that was called for an earlier job is still coming.
//!
//! The pool's lock protects all of this. The models of `tests/loom_queue.rs` run this very file.

use iolite_io::backend::{Ticket, UnstartedQueue};

/// The action of a worker that was not called for a long time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retired {
    /// It ends.
    Ends,
    /// It is coming: a job counts on it.
    Comes,
    /// Another thread has called it, and is about to wake it.
    Called,
}

#[derive(Debug)]
pub(crate) struct Queue<J, S> {
    jobs: UnstartedQueue<J>,
    /// The workers that are asleep. The one that was busy last is at the end, because its caches are warm.
    asleep: Vec<S>,
    coming: usize,
}

impl<J, S> Default for Queue<J, S> {
    fn default() -> Self {
        Self { jobs: UnstartedQueue::default(), asleep: Vec::new(), coming: 0 }
    }
}

impl<J, S> Queue<J, S> {
    /// Returns the ticket under which the next job will be queued.
    pub(crate) fn next_ticket(&self) -> Ticket {
        self.jobs.next_ticket()
    }

    /// Adds a job, and returns the worker that the caller has to call for it. Returns the job if there is no worker for
    /// it and it needs a new one.
    pub(crate) fn push(&mut self, job: J) -> Result<Option<S>, J> {
        if self.jobs.len() >= self.asleep.len() + self.coming {
            return Err(job);
        }
        self.jobs.push(job);
        Ok(self.call_next())
    }

    /// Takes a job that no worker has taken.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<J> {
        self.jobs.take(ticket)
    }

    /// Takes the oldest job, for a worker that was coming and is busy from now on. Also returns the worker that the
    /// caller has to call for the remaining jobs.
    pub(crate) fn take(&mut self) -> Option<(J, Option<S>)> {
        let job = self.jobs.pop()?;
        self.coming -= 1;
        Some((job, self.call_next()))
    }

    /// Notes that a worker is no longer busy.
    pub(crate) fn job_ended(&mut self) {
        self.coming += 1;
    }

    /// Notes that a worker that was coming has found no job and goes to sleep.
    pub(crate) fn sleep(&mut self, worker: S) {
        debug_assert!(self.jobs.is_empty(), "a worker that is coming takes a job if there is one");
        self.coming -= 1;
        self.asleep.push(worker);
    }

    /// Notes that a worker that was coming has found no job and ends.
    pub(crate) fn leave(&mut self) {
        debug_assert!(self.jobs.is_empty(), "a worker that is coming takes a job if there is one");
        self.coming -= 1;
    }

    /// Takes the worker for which `is_it` holds out of the sleeping ones, because it wants to end. If there are as many
    /// jobs as workers that are asleep or coming, it must not end, and counts as coming instead.
    pub(crate) fn retire(&mut self, is_it: impl FnMut(&S) -> bool) -> Retired {
        let Some(index) = self.asleep.iter().position(is_it) else { return Retired::Called };
        let is_needed = self.jobs.len() >= self.asleep.len() + self.coming;
        self.asleep.remove(index);
        if is_needed {
            self.coming += 1;
            Retired::Comes
        } else {
            Retired::Ends
        }
    }

    /// Returns all sleeping workers, which the caller has to call.
    pub(crate) fn call_all(&mut self) -> Vec<S> {
        self.coming += self.asleep.len();
        std::mem::take(&mut self.asleep)
    }

    /// Returns the number of sleeping workers.
    pub(crate) fn asleep(&self) -> usize {
        self.asleep.len()
    }

    fn call_next(&mut self) -> Option<S> {
        if self.coming > 0 || self.jobs.is_empty() {
            return None;
        }
        let worker = self.asleep.pop();
        debug_assert!(worker.is_some(), "there is a worker for each job");
        self.coming = 1;
        worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers are asleep, 0 and 1, and 1 was called for the first of two jobs.
    fn called_for_one_of_two() -> Queue<&'static str, u32> {
        let mut queue = Queue::default();
        for worker in [0, 1] {
            queue.job_ended();
            queue.sleep(worker);
        }
        assert_eq!(queue.push("first"), Ok(Some(1)));
        assert_eq!(queue.push("second"), Ok(None), "one is coming, and will call the other");
        queue
    }

    #[test]
    fn a_worker_on_which_a_job_counts_comes_instead_of_ending() {
        let mut queue = called_for_one_of_two();
        assert_eq!(queue.retire(|worker| *worker == 0), Retired::Comes);
        assert_eq!(queue.push("third"), Err("third"), "it takes a worker of its own");
        assert_eq!(queue.take(), Some(("first", None)), "the other is coming");
        assert_eq!(queue.take(), Some(("second", None)));
    }

    #[test]
    fn a_worker_ends_where_no_job_counts_on_it() {
        let mut queue = called_for_one_of_two();
        let ticket = queue.next_ticket();
        assert_eq!(queue.take(), Some(("first", Some(0))));
        assert_eq!(queue.retire(|worker| *worker == 0), Retired::Called);
        queue.job_ended();
        assert_eq!(queue.take(), Some(("second", None)));
        queue.job_ended();
        queue.sleep(0);
        assert_eq!(queue.retire(|worker| *worker == 0), Retired::Ends);
        assert_eq!(queue.remove(ticket), None);
    }
}
