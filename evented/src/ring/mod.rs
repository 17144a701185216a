//! An io_uring, owned by one executor.
#![allow(unsafe_code)]

mod buffers;
mod closed;
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
use iolite_io::backend::{AbortOnUnwind, PoolMemory};

use crate::sys;
pub(crate) use buffers::BufferRings;
use closed::note_close;
pub(crate) use features::{Features, probe};
pub(crate) use passage::{Inside, Passage};
pub(crate) use registered::RegisteredPools;

/// The number of submission entries of a ring. For a user without CAP_IPC_LOCK, rings count against RLIMIT_MEMLOCK, so
/// it is not larger than batching needs.
const SQ_ENTRIES: u32 = 256;
/// The number of completion entries. The kernel keeps completions that do not fit (NODROP).
pub(crate) const CQ_ENTRIES: u32 = 1024;

/// The number of completions that are enough for one reap, if the kernel has to be asked for more.
const REAPED_ENOUGH: usize = 64;

/// The wait of a turn of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Does not wait: there is work.
    No,
    /// Waits until a completion arrives.
    Forever,
    /// Waits until a completion arrives or this number of nanoseconds has passed.
    Nanos(u64),
}

/// Entries that other threads want to be submitted before the kernel completes anything more. See [`Passage`].
pub(crate) trait Urgent {
    /// The ring's thread enters the kernel.
    fn go_in(&self);

    /// The ring's thread has come out of the kernel.
    fn come_out(&self);

    /// Returns the next entry that was left, which points to nothing.
    fn next(&self) -> Option<Entry>;
}

/// The ring of one executor; only that executor's thread touches it.
pub(crate) struct Ring {
    ring: RefCell<IoUring>,
    urgent: Option<&'static dyn Urgent>,
    /// The number of entries that were ever queued.
    pushed: Cell<u64>,
    /// Completions that were taken out of the ring and not handled yet, the oldest first. Handling one may queue
    /// entries, which may collect further completions; those then wait here for their turn.
    collected: RefCell<VecDeque<cqueue::Entry>>,
}

/// Identifies a queued entry by the number of entries that were queued before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed(u64);

impl Drop for Ring {
    fn drop(&mut self) {
        note_close();
    }
}

impl Ring {
    /// Makes the ring, on the thread that will use it. It submits first whatever is `urgent`.
    pub(crate) fn new(urgent: Option<&'static dyn Urgent>) -> io::Result<(Self, Features)> {
        let (ring, features) = features::build(SQ_ENTRIES, CQ_ENTRIES)?;
        let collected = RefCell::new(VecDeque::with_capacity(CQ_ENTRIES as usize));
        let ring = RefCell::new(ring);
        Ok((Self { ring, urgent, pushed: Cell::new(0), collected }, features))
    }

    /// Queues an entry for the next turn. If the queue is full, its entries are submitted first: an entry is never
    /// dropped, least of all a cancellation.
    ///
    /// # Safety
    ///
    /// Everything that the entry points to stays valid until its completion was reaped.
    pub(crate) unsafe fn push(&self, entry: &Entry) -> Pushed {
        loop {
            // SAFETY: `push` requires that everything that the entry points to stays valid while the operation lasts,
            // which is until its completion was reaped. This function's caller ensures that.
            if unsafe { self.ring.borrow_mut().submission().push(entry) }.is_ok() {
                return Pushed(self.pushed.replace(self.pushed.get() + 1));
            }
            self.turn(Wait::No);
            // A full completion queue can stop submissions (EBUSY). So completions are taken out here to make room, and
            // handled with the next reap.
            self.collect();
        }
    }

    /// Submits all queued entries.
    pub(crate) fn flush(&self) {
        while self.has_queued() {
            self.turn(Wait::No);
            self.collect();
        }
    }

    /// Returns true if entries wait for a turn.
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
    /// Those of the kernel; among them that of a kernel that has no such rings (before 5.19).
    ///
    /// # Safety
    ///
    /// The memory holds `count` entries, a power of two, on pages that contain nothing else, and stays until the group
    /// was unregistered.
    pub(crate) unsafe fn register_buffers(
        &self,
        memory: NonNull<BufRingEntry>,
        count: u16,
        group: u16,
    ) -> io::Result<()> {
        let ring = self.ring.borrow();
        // SAFETY: this function's caller promises that the address is that of `count` entries, a power of two, on pages
        // that contain nothing else, and that they stay until the group was unregistered.
        unsafe { ring.submitter().register_buf_ring_with_flags(memory.as_ptr() as u64, count, group, 0) }
    }

    /// Unregisters a ring of buffers from the kernel.
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
    /// Those of the kernel; among them that of a kernel that has no such table (before 5.13).
    pub(crate) fn make_slots(&self, count: u16) -> io::Result<()> {
        self.ring.borrow().submitter().register_buffers_sparse(count.into())
    }

    /// Lets the kernel keep the pages of `memory` for entries that name `slot`; without `memory`, empties the slot.
    ///
    /// # Errors
    ///
    /// Those of the kernel. After an error, the slot may still have its previous content.
    pub(crate) fn set_slot(&self, slot: u16, memory: Option<&PoolMemory>) -> io::Result<()> {
        let (start, bytes) = memory.map_or((ptr::null_mut(), 0), |memory| (memory.start().as_ptr(), memory.bytes()));
        let place = sys::iovec { iov_base: start.cast(), iov_len: bytes };
        // SAFETY: the kernel takes references to the pages, and touches them only for an entry whose place lies in the
        // memory. So it is harmless if the memory ends before its slot.
        unsafe { self.ring.borrow().submitter().register_buffers_update(slot.into(), &[place], None) }
    }

    /// Allows the kernel this number of threads for operations that may block, beyond the usual number. A kernel that
    /// does not limit them needs no permission.
    pub(crate) fn set_kept_workers(&self, kept: u32) {
        let _ = features::bound_workers(&self.ring.borrow(), kept);
    }

    /// Submits all queued entries and waits, in one system call, or in none if there is nothing to do.
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
                // The time is over, a signal has arrived, the completion queue is full, or there is no memory right
                // now. Entries that are still queued go with the next turn, after the completions were reaped.
                Some(sys::ETIME | sys::EINTR | sys::EAGAIN | sys::EBUSY | sys::ENOMEM) => {}
                _ => {
                    // Completions were lost (EBADR), or the ring is broken: fibers would wait for ever, and a fiber
                    // that unwound from here would leave memory to the kernel.
                    let _bomb = AbortOnUnwind;
                    panic!("io_uring_enter failed beyond repair: {error}");
                }
            },
        }
    }

    /// Queues the urgent entries, for the next turn.
    pub(crate) fn queue_urgent(&self) {
        if let Some(urgent) = self.urgent {
            self.queue_all(urgent, &mut self.ring.borrow_mut());
        }
    }

    /// Announces that the kernel is entered now, and queues the urgent entries.
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
                // The call has no flag, so the kernel submits, and completes nothing that it has deferred.
                // SAFETY: no argument is passed. Everything that the entries point to stays until their completions
                // were reaped, as the callers of `push` ensure.
                let _ = unsafe { ring.submitter().enter::<()>(queued, 0, 0, None) };
                if ring.submission().is_full() {
                    // There is no memory, or no room for completions, so the entry waits for the next turn.
                    return;
                }
            }
            let Some(entry) = urgent.next() else { return };
            // SAFETY: the entry points to nothing, as `Urgent` says.
            if unsafe { ring.submission().push(&entry) }.is_ok() {
                self.pushed.set(self.pushed.get() + 1);
            }
        }
    }

    /// Passes the completions that have arrived, and those that are collected in the meantime, to `tell`: user data,
    /// result and flags.
    pub(crate) fn reap(&self, mut tell: impl FnMut(u64, i32, u32)) {
        self.collect_deferred();
        while let Some(completion) = self.next_collected() {
            tell(completion.user_data(), completion.result(), completion.flags());
        }
    }

    /// Returns the oldest collected completion. The queue is not borrowed while the completion is handled.
    #[inline]
    fn next_collected(&self) -> Option<cqueue::Entry> {
        self.collected.borrow_mut().pop_front()
    }

    /// Returns true if completions were taken out of the ring and not handled yet.
    pub(crate) fn has_collected(&self) -> bool {
        !self.collected.borrow().is_empty()
    }

    /// Collects completions, and lets the kernel complete more of what it has deferred for this thread. A call that
    /// slept completes one entry; any other call completes at most 20 (since Linux 6.14). Entries that are reaped
    /// together are submitted together, which calls a disk only once. The kernel's flag can stay set when nothing is
    /// left, so this stops after a call that brought nothing.
    fn collect_deferred(&self) {
        let mut collected = self.collect();
        while collected > 0 && self.collected.borrow().len() < REAPED_ENOUGH && self.has_deferred() {
            self.turn(Wait::No);
            collected = self.collect();
        }
    }

    /// Returns true if the kernel has completions for which there was no room.
    pub(crate) fn has_overflown(&self) -> bool {
        self.ring.borrow_mut().submission().cq_overflow()
    }

    fn has_deferred(&self) -> bool {
        self.ring.borrow_mut().submission().taskrun()
    }

    /// Takes completions out of the ring. Returns their number.
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

    /// Handling a completion may queue entries, and a full queue then collects further completions.
    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn what_is_collected_while_others_are_told_is_told_behind_them() {
        const FIRST: u64 = 3;
        const MORE: u64 = 3 * SQ_ENTRIES as u64;
        let (ring, _) = Ring::new(None).unwrap();
        // SAFETY: the entry points to nothing.
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
        // SAFETY: the entry points to nothing.
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

    /// This includes those that the kernel, after the first one, completes only when it is asked again.
    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn what_has_arrived_is_reaped_together() {
        let (ring, _) = Ring::new(None).unwrap();
        let events: Vec<_> = (0..REAPED_ENOUGH).map(|_| eventfd(0, EventfdFlags::CLOEXEC).unwrap()).collect();
        for (event, number) in events.iter().zip(0..) {
            let poll = opcode::PollAdd::new(sys::fd(event), sys::POLLIN as u32).build();
            // SAFETY: the entry points to nothing.
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
