//! An io_uring, owned by one executor.
#![allow(unsafe_code)]

mod buffers;
mod features;
mod passage;
mod registered;
mod visits;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::ptr::{self, NonNull};

use io_uring::squeue::Entry;
use io_uring::types::BufRingEntry;
use io_uring::{IoUring, cqueue, types};
use iolite_io::backend::PoolMemory;

use crate::abort::AbortOnUnwind;
use crate::sys;
pub(crate) use buffers::BufferRings;
pub(crate) use features::{Features, probe};
pub(crate) use passage::{Inside, Passage};
pub(crate) use registered::RegisteredPools;

/// Submission entries of a ring. For a user without CAP_IPC_LOCK rings count against
/// RLIMIT_MEMLOCK, so it is not larger than batching needs.
const SQ_ENTRIES: u32 = 256;
/// Completion entries; what does not fit, the kernel keeps (NODROP).
pub(crate) const CQ_ENTRIES: u32 = 1024;

/// How many completions are enough for one reap, where the kernel has to be asked for more.
const REAPED_ENOUGH: usize = 64;

/// How a turn of the ring waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: there is work.
    No,
    /// Until a completion arrives.
    Forever,
    /// Until a completion arrives or that many nanoseconds have passed.
    Nanos(u64),
}

/// What other threads want to be submitted before the kernel completes anything more. See [`Passage`].
pub(crate) trait Urgent {
    /// The ring's thread enters the kernel.
    fn go_in(&self);

    /// The ring's thread has come out of the kernel.
    fn come_out(&self);

    /// The next entry that was left, which points to nothing.
    fn next(&self) -> Option<Entry>;
}

/// The ring of one executor; only that executor's thread touches it.
pub(crate) struct Ring {
    ring: RefCell<IoUring>,
    urgent: Option<&'static dyn Urgent>,
    /// How many entries were ever queued.
    pushed: Cell<u64>,
    /// Completions that were taken out of the ring and are not told yet, the oldest first. Telling one may queue
    /// entries, and with that collect further completions, which then wait here for their turn.
    collected: RefCell<VecDeque<cqueue::Entry>>,
}

/// Names an entry that was queued: how many were queued before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed(u64);

impl Ring {
    /// Makes the ring, on the thread that will use it; it submits first what is `urgent`.
    pub(crate) fn new(urgent: Option<&'static dyn Urgent>) -> io::Result<(Self, Features)> {
        let (ring, features) = features::build(SQ_ENTRIES, CQ_ENTRIES)?;
        let collected = RefCell::new(VecDeque::with_capacity(CQ_ENTRIES as usize));
        let ring = RefCell::new(ring);
        Ok((Self { ring, urgent, pushed: Cell::new(0), collected }, features))
    }

    /// Queues an entry for the next turn. When the queue is full, what is in it is submitted first:
    /// an entry, a cancellation above all, is never dropped.
    ///
    /// # Safety
    ///
    /// What the entry points to stays valid until its completion was reaped.
    pub(crate) unsafe fn push(&self, entry: &Entry) -> Pushed {
        loop {
            // SAFETY: `push` asks that what the entry points to stays valid while the operation lasts, and that is until
            // its completion was reaped, as this function's caller sees to.
            if unsafe { self.ring.borrow_mut().submission().push(entry) }.is_ok() {
                return Pushed(self.pushed.replace(self.pushed.get() + 1));
            }
            self.turn(Wait::No);
            // A full completion queue can stop submissions (EBUSY): room is made here, and what was
            // taken out is told with the next reap.
            self.collect();
        }
    }

    /// Submits all that is queued.
    pub(crate) fn flush(&self) {
        while self.has_queued() {
            self.turn(Wait::No);
            self.collect();
        }
    }

    /// Whether entries wait for a turn.
    pub(crate) fn has_queued(&self) -> bool {
        !self.ring.borrow_mut().submission().is_empty()
    }

    /// Submits an entry, unless the kernel has it already.
    pub(crate) fn flush_until(&self, Pushed(entry): Pushed) {
        let queued = self.ring.borrow_mut().submission().len() as u64;
        if entry >= self.pushed.get() - queued {
            self.flush();
        }
    }

    /// Registers a ring of `count` buffers as `group`.
    ///
    /// # Errors
    ///
    /// Those of the kernel, one that knows none (before 5.19) among them.
    ///
    /// # Safety
    ///
    /// The memory holds `count` entries, a power of two, on pages of its own, and stays until the group
    /// was unregistered.
    pub(crate) unsafe fn register_buffers(
        &self,
        memory: NonNull<BufRingEntry>,
        count: u16,
        group: u16,
    ) -> io::Result<()> {
        let ring = self.ring.borrow();
        // SAFETY: the address is that of `count` entries, a power of two, on pages of their own, which stay until the
        // group was unregistered, as this function's caller sees to.
        unsafe { ring.submitter().register_buf_ring_with_flags(memory.as_ptr() as u64, count, group, 0) }
    }

    /// Takes a ring of buffers from the kernel.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub(crate) fn unregister_buffers(&self, group: u16) -> io::Result<()> {
        self.ring.borrow().submitter().unregister_buf_ring(group)
    }

    /// Makes the table of registered memory, with `count` empty slots.
    ///
    /// # Errors
    ///
    /// Those of the kernel, one that knows none (before 5.13) among them.
    pub(crate) fn make_slots(&self, count: u16) -> io::Result<()> {
        self.ring.borrow().submitter().register_buffers_sparse(count.into())
    }

    /// Has the kernel keep the pages of `memory`, for entries that name `slot`; of nothing, if there is none.
    ///
    /// # Errors
    ///
    /// Those of the kernel; what was in the slot may still be there.
    pub(crate) fn set_slot(&self, slot: u16, memory: Option<&PoolMemory>) -> io::Result<()> {
        let (start, bytes) = memory.map_or((ptr::null_mut(), 0), |memory| (memory.start().as_ptr(), memory.bytes()));
        let place = sys::iovec { iov_base: start.cast(), iov_len: bytes };
        // SAFETY: the kernel takes references to the pages and touches them for an entry only, whose
        // place lies in the memory; so it is no danger that the memory may end before its slot.
        unsafe { self.ring.borrow().submitter().register_buffers_update(slot.into(), &[place], None) }
    }

    /// Lets the kernel have so many threads for what may block, beyond the usual. One that does not bound them needs no
    /// leave.
    pub(crate) fn set_kept_workers(&self, kept: u32) {
        let _ = features::bound_workers(&self.ring.borrow(), kept);
    }

    /// Submits what is queued and waits, in one system call; none if there is nothing to do.
    pub(crate) fn turn(&self, wait: Wait) {
        let mut ring = self.ring.borrow_mut();
        let ring = &mut *ring;
        if wait == Wait::No {
            let submission = ring.submission();
            if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
                return;
            }
        }
        self.go_in(ring);
        let result = match wait {
            Wait::No => ring.submitter().submit(),
            Wait::Forever => ring.submitter().submit_and_wait(1),
            Wait::Nanos(nanos) => {
                let time = types::Timespec::new().sec(nanos / 1_000_000_000).nsec((nanos % 1_000_000_000) as u32);
                ring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&time))
            }
        };
        if let Some(urgent) = self.urgent {
            urgent.come_out();
        }
        match result {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // The time is over; a signal; full completion queue or no memory just now: what is
                // still queued goes with the next turn, after the completions were reaped.
                Some(sys::ETIME | sys::EINTR | sys::EAGAIN | sys::EBUSY | sys::ENOMEM) => {}
                _ => {
                    // Lost completions (EBADR) or a broken ring: fibers would wait for ever, and a fiber that
                    // unwound from here would leave memory to the kernel.
                    let _bomb = AbortOnUnwind;
                    panic!("io_uring_enter failed beyond repair: {error}");
                }
            },
        }
    }

    /// Queues what is urgent, for the next turn.
    pub(crate) fn queue_urgent(&self) {
        if let Some(urgent) = self.urgent {
            self.queue_all(urgent, &mut self.ring.borrow_mut());
        }
    }

    /// Says that the kernel is entered now, and queues what is urgent.
    fn go_in(&self, ring: &mut IoUring) {
        if let Some(urgent) = self.urgent {
            urgent.go_in();
            self.queue_all(urgent, ring);
        }
    }

    fn queue_all(&self, urgent: &dyn Urgent, ring: &mut IoUring) {
        loop {
            if ring.submission().is_full() {
                let queued = ring.submission().len() as u32;
                // Without a flag, so that the kernel submits, and completes nothing that it has deferred.
                // SAFETY: no argument is passed. What the entries point to stays until their completions were reaped, as
                // the callers of `push` see to.
                let _ = unsafe { ring.submitter().enter::<()>(queued, 0, 0, None) };
                if ring.submission().is_full() {
                    // No memory, or no room for completions: it waits for the next turn.
                    return;
                }
            }
            let Some(entry) = urgent.next() else { return };
            // SAFETY: it points to nothing, as `Urgent` says.
            if unsafe { ring.submission().push(&entry) }.is_ok() {
                self.pushed.set(self.pushed.get() + 1);
            }
        }
    }

    /// Tells the completions that have arrived, and those that are collected meanwhile: user data, result and flags.
    pub(crate) fn reap(&self, mut tell: impl FnMut(u64, i32, u32)) {
        self.collect_deferred();
        while let Some(completion) = self.next_collected() {
            tell(completion.user_data(), completion.result(), completion.flags());
        }
    }

    /// The oldest completion that was collected. The queue is not borrowed while it is told.
    #[inline]
    fn next_collected(&self) -> Option<cqueue::Entry> {
        self.collected.borrow_mut().pop_front()
    }

    /// Whether completions were taken out of the ring and not told yet.
    pub(crate) fn has_collected(&self) -> bool {
        !self.collected.borrow().is_empty()
    }

    /// Collects, and has the kernel complete more of what it has deferred for this thread: a call that
    /// slept completes one entry, any other (since Linux 6.14) 20 at most. What is reaped together is
    /// submitted together, for which a disk is called once. The kernel's flag can stay set where nothing is left, so
    /// a call that brought nothing is the last.
    fn collect_deferred(&self) {
        let mut collected = self.collect();
        while collected > 0 && self.collected.borrow().len() < REAPED_ENOUGH && self.has_deferred() {
            self.turn(Wait::No);
            collected = self.collect();
        }
    }

    /// Whether the kernel has completions for which there was no room.
    pub(crate) fn has_overflown(&self) -> bool {
        self.ring.borrow_mut().submission().cq_overflow()
    }

    fn has_deferred(&self) -> bool {
        self.ring.borrow_mut().submission().taskrun()
    }

    /// Takes completions out of the ring; how many.
    fn collect(&self) -> usize {
        let mut collected = self.collected.borrow_mut();
        let before = collected.len();
        collected.extend(self.ring.borrow_mut().completion());
        collected.len() - before
    }
}

#[cfg(test)]
mod test {
    use io_uring::opcode;
    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    /// What is told may queue entries, which collects further completions where the queue is full.
    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn what_is_collected_while_others_are_told_is_told_behind_them() {
        const FIRST: u64 = 3;
        const MORE: u64 = 3 * SQ_ENTRIES as u64;
        let (ring, _) = Ring::new(None).unwrap();
        // SAFETY: it points to nothing.
        let push = |number| _ = unsafe { ring.push(&opcode::Nop::new().build().user_data(number)) };
        (0..FIRST).for_each(push);
        ring.turn(Wait::Forever);
        let mut told = Vec::new();
        ring.reap(|user_data, result, _| {
            assert_eq!(result, 0);
            if user_data == 0 {
                (FIRST..FIRST + MORE).for_each(push);
            }
            told.push(user_data);
        });
        assert!(told.len() as u64 > FIRST, "none was collected meanwhile");
        ring.flush();
        ring.reap(|user_data, _, _| told.push(user_data));
        assert_eq!(told, (0..FIRST + MORE).collect::<Vec<_>>());
    }

    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn an_entry_is_submitted_by_its_name_once() {
        let (ring, _) = Ring::new(None).unwrap();
        // SAFETY: it points to nothing.
        let push = |number| unsafe { ring.push(&opcode::Nop::new().build().user_data(number)) };
        let queued = || ring.ring.borrow_mut().submission().len();
        let first = push(1);
        ring.flush();
        push(2);
        ring.flush_until(first);
        assert_eq!(queued(), 1, "the first was submitted before");
        let third = push(3);
        ring.flush_until(third);
        assert_eq!(queued(), 0);
    }

    /// Also those that the kernel, after the first, completes only when it is asked again.
    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn what_has_arrived_is_reaped_together() {
        let (ring, _) = Ring::new(None).unwrap();
        let events: Vec<_> = (0..REAPED_ENOUGH).map(|_| eventfd(0, EventfdFlags::CLOEXEC).unwrap()).collect();
        for (event, number) in events.iter().zip(0..) {
            let poll = opcode::PollAdd::new(sys::fd(event), sys::POLLIN as u32).build();
            // SAFETY: it points to nothing.
            unsafe { ring.push(&poll.user_data(number)) };
        }
        ring.flush();
        for event in &events {
            rustix::io::write(event, &1_u64.to_ne_bytes()).unwrap();
        }
        ring.turn(Wait::Forever);
        let mut told = Vec::new();
        ring.reap(|user_data, result, _| told.push((user_data, result)));
        told.sort_unstable();
        let expected = (0..REAPED_ENOUGH as u64).map(|number| (number, i32::from(sys::POLLIN)));
        assert_eq!(told, expected.collect::<Vec<_>>());
    }
}
