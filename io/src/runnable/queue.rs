//! The queue of tasks that have not begun, for backends.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the queue of the process in which a task waits to be begun, and its place there. A joiner of the task uses the
/// ticket once: after that, another task may have the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(NonZeroU64);

impl Ticket {
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}

/// The number of tickets of a queue, which limits the number of tasks that can wait in it over time.
const TICKETS: u64 = 1 << 40;

/// A queue of tasks that have not begun, the oldest first. A task can be taken out of the middle.
///
/// The queue keeps its memory, so that it seldom allocates.
#[derive(Debug)]
pub struct UnstartedQueue<T> {
    /// The ticket of the first entry, or of the next one if there is none.
    first: u64,
    /// The first and the last entry are `Some`. Those in between may have been taken.
    entries: VecDeque<Option<T>>,
    len: usize,
}

impl<T> Default for UnstartedQueue<T> {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = number.checked_mul(TICKETS).expect("a process makes fewer than 2^24 queues of tasks");
        Self { first, entries: VecDeque::new(), len: 0 }
    }
}

impl<T> UnstartedQueue<T> {
    /// Returns how many tasks wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if no task waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the ticket of the next [`push`](Self::push).
    pub fn next_ticket(&self) -> Ticket {
        let number = self.first + self.entries.len() as u64;
        Ticket(NonZeroU64::new(number).expect("queues count from 1"))
    }

    /// Adds a task at the end.
    pub fn push(&mut self, task: T) {
        self.entries.push_back(Some(task));
        self.len += 1;
    }

    /// Takes the oldest task.
    pub fn pop(&mut self) -> Option<T> {
        let task = self.entries.pop_front()?;
        self.first += 1;
        self.len -= 1;
        self.close_gaps();
        task
    }

    /// Takes the task with that ticket, if it waits in this queue.
    pub fn take(&mut self, ticket: Ticket) -> Option<T> {
        let index = usize::try_from(ticket.number().checked_sub(self.first)?).ok()?;
        if index == 0 {
            return self.pop();
        }
        let task = self.entries.get_mut(index)?.take()?;
        self.len -= 1;
        self.close_gaps();
        Some(task)
    }

    /// Makes sure that the first and the last entry are `Some`.
    #[inline]
    fn close_gaps(&mut self) {
        if self.entries.len() > self.len {
            self.close_gaps_slow();
        }
    }

    #[cold]
    fn close_gaps_slow(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        while let Some(None) = self.entries.back() {
            self.entries.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UnstartedQueue;

    #[test]
    fn tasks_leave_in_order_except_those_that_were_taken() {
        let mut queue = UnstartedQueue::default();
        let tickets: Vec<_> = (0..5)
            .map(|task| {
                let ticket = queue.next_ticket();
                queue.push(task);
                ticket
            })
            .collect();
        assert_eq!(queue.take(tickets[2]), Some(2));
        assert_eq!(queue.take(tickets[2]), None);
        assert_eq!(queue.take(tickets[0]), Some(0));
        assert_eq!(queue.len(), 3);
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [1, 3, 4]);
        assert!(queue.is_empty());
        assert!(tickets.iter().all(|ticket| queue.take(*ticket).is_none()), "their time is over");
    }

    #[test]
    fn a_ticket_is_good_for_one_task_of_one_queue() {
        let (mut queue, mut other) = (UnstartedQueue::default(), UnstartedQueue::default());
        let ticket = queue.next_ticket();
        queue.push(1);
        other.push(2);
        assert_eq!(other.take(ticket), None);
        assert_eq!(queue.pop(), Some(1));
        queue.push(3);
        assert_eq!(queue.take(ticket), None);
    }

    #[test]
    fn what_was_taken_leaves_no_place_behind() {
        let mut queue = UnstartedQueue::default();
        queue.push(0);
        for task in 1..1000 {
            let ticket = queue.next_ticket();
            queue.push(task);
            assert_eq!(queue.take(ticket), Some(task));
        }
        assert_eq!(queue.entries.len(), 1);
    }
}
