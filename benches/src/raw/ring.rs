//! A ring with the buffers that its operations use, behind safe calls.
//!
//! A buffer is never freed, and it cannot be touched while an operation uses it. So the kernel's
//! pointers stay valid, and nothing changes under it or under the caller, whatever the caller does.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::slice;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::libc::iovec;

/// How many entries are queued before they are handed to the kernel.
const ENTRIES: u32 = 4096;

/// How many completions are enough for one turn, where the kernel has to be asked for more.
const ENOUGH: usize = 64;

/// An io_uring and the memory that its operations use.
pub(crate) struct Ring {
    ring: IoUring,
    slots: Vec<Slot>,
    receive_flags: u16,
}

/// Names a buffer of a [`Ring`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer(u32);

impl Buffer {
    /// How many buffers of its ring were made before it.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The memory of a buffer, and the one operation that may be using it.
struct Slot {
    memory: *mut u8,
    bytes: usize,
    /// Whether an operation is under way.
    busy: bool,
}

/// The end of an operation.
#[derive(Debug)]
pub(crate) enum Completion {
    /// A connection was accepted.
    Accepted(io::Result<OwnedFd>),
    /// So many bytes are in the buffer.
    Received(Buffer, io::Result<usize>),
    /// So many bytes of the buffer were sent.
    Sent(Buffer, io::Result<usize>),
    /// So many bytes of a file are in the buffer.
    Read(Buffer, io::Result<usize>),
}

const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const READ: u64 = 3;

/// `IORING_RECVSEND_POLL_FIRST`.
const POLL_FIRST: u16 = 1;

impl Ring {
    /// Makes a ring for the calling thread.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(ENTRIES * 4)
            .build(ENTRIES)?;
        Ok(Self { ring, slots: Vec::new(), receive_flags: 0 })
    }

    /// Makes a buffer, which lives as long as the process.
    pub(crate) fn buffer(&mut self, bytes: usize) -> Buffer {
        self.buffer_of(Box::leak(vec![0; bytes].into_boxed_slice()))
    }

    /// Makes a buffer of that memory.
    pub(crate) fn buffer_of(&mut self, memory: &'static mut [u8]) -> Buffer {
        self.slots.push(Slot { memory: memory.as_mut_ptr(), bytes: memory.len(), busy: false });
        Buffer(u32::try_from(self.slots.len() - 1).expect("fewer buffers than 2^32"))
    }

    /// What is in a buffer.
    ///
    /// # Panics
    ///
    /// While an operation uses it.
    pub(crate) fn memory(&mut self, buffer: Buffer) -> &mut [u8] {
        let slot = &self.slots[buffer.0 as usize];
        assert!(!slot.busy, "the kernel has the buffer");
        // SAFETY: `buffer_of` was given that much memory for good, so only this ring knows it; no operation uses
        // it, as was asserted, and `&mut self` keeps one from being queued meanwhile.
        unsafe { slice::from_raw_parts_mut(slot.memory, slot.bytes) }
    }

    /// Whether two buffers hold the same.
    ///
    /// # Panics
    ///
    /// While an operation uses one of them.
    pub(crate) fn same(&mut self, one: Buffer, other: Buffer) -> bool {
        let [one, other] = [one, other].map(|buffer| {
            let memory = self.memory(buffer);
            (memory.as_ptr(), memory.len())
        });
        // SAFETY: `memory` has just said that both are valid and that nobody uses them; they are
        // only read here, and `&mut self` lasts until the end.
        unsafe { slice::from_raw_parts(one.0, one.1) == slice::from_raw_parts(other.0, other.1) }
    }

    /// Queues the acceptance of a connection.
    pub(crate) fn accept(&mut self, listener: &impl AsRawFd) -> io::Result<()> {
        let entry = opcode::Accept::new(types::Fd(listener.as_raw_fd()), ptr::null_mut(), ptr::null_mut())
            .build()
            .user_data(ACCEPT);
        // SAFETY: the entry points to no memory.
        unsafe { self.queue(&entry) }
    }

    /// Has each reception queue behind those that wait, also where its bytes are there (`IORING_RECVSEND_POLL_FIRST`).
    pub(crate) fn poll_first(&mut self) {
        self.receive_flags = POLL_FIRST;
    }

    /// Queues the reception of what arrives next; with `all`, of as much as the buffer takes.
    pub(crate) fn receive(&mut self, connection: &OwnedFd, buffer: Buffer, all: bool) -> io::Result<()> {
        let receive_flags = self.receive_flags;
        let slot = self.occupy(buffer);
        let entry = opcode::Recv::new(types::Fd(connection.as_raw_fd()), slot.memory, slot.bytes as u32)
            .flags(if all { rustix::net::RecvFlags::WAITALL.bits() as i32 } else { 0 })
            .ioprio(receive_flags)
            .build()
            .user_data(RECEIVE << 32 | u64::from(buffer.0));
        // SAFETY: the memory is never freed and, until the completion has been seen, `memory` gives
        // nobody access to it, and `occupy` no other operation. A descriptor that its owner closes
        // too early makes the operation fail, or work on another connection, but is no danger.
        unsafe { self.queue(&entry) }
    }

    /// Queues the sending of the first `bytes` of a buffer, all of them.
    pub(crate) fn send(&mut self, connection: &OwnedFd, buffer: Buffer, bytes: usize) -> io::Result<()> {
        let slot = self.occupy(buffer);
        assert!(bytes <= slot.bytes, "there are no more bytes in the buffer");
        let entry = opcode::Send::new(types::Fd(connection.as_raw_fd()), slot.memory, bytes as u32)
            .flags((rustix::net::SendFlags::NOSIGNAL.bits() | rustix::net::RecvFlags::WAITALL.bits()) as i32)
            .build()
            .user_data(SEND << 32 | u64::from(buffer.0));
        // SAFETY: as in `receive`; `bytes` is within the buffer.
        unsafe { self.queue(&entry) }
    }

    /// Registers the buffers there are, for [`read`](Self::read).
    pub(crate) fn register(&mut self) -> io::Result<()> {
        let place = |slot: &Slot| iovec { iov_base: slot.memory.cast(), iov_len: slot.bytes };
        let places: Vec<_> = self.slots.iter().map(place).collect();
        // SAFETY: buffers are never freed.
        unsafe { self.ring.submitter().register_buffers(&places) }
    }

    /// Queues the reading of a part of a file, as much as the buffer takes, which was registered.
    pub(crate) fn read(&mut self, file: &File, buffer: Buffer, offset: u64) -> io::Result<()> {
        let slot = self.occupy(buffer);
        let index = buffer.0.try_into().map_err(io::Error::other)?;
        let entry = opcode::ReadFixed::new(types::Fd(file.as_raw_fd()), slot.memory, slot.bytes as u32, index)
            .offset(offset)
            .build()
            .user_data(READ << 32 | u64::from(buffer.0));
        // SAFETY: as in `receive`.
        unsafe { self.queue(&entry) }
    }

    /// Hands over what is queued, waits for a completion, and moves all that there are to
    /// `completions`.
    pub(crate) fn wait(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            submitted => drop(submitted?),
        }
        let Self { ring, slots, .. } = self;
        loop {
            let before = completions.len();
            completions.extend(ring.completion().map(|entry| completed(slots, &entry)));
            // The kernel completes 20 entries at most in one call. For a disk, larger batches pay. Its flag can stay set
            // where nothing is left, so a call that brought nothing is the last.
            let nothing_new = completions.len() == before;
            if nothing_new || completions.len() >= ENOUGH || !ring.submission().taskrun() {
                return Ok(());
            }
            ring.submit()?;
        }
    }

    /// Notes that an operation uses the buffer.
    fn occupy(&mut self, buffer: Buffer) -> &Slot {
        let slot = &mut self.slots[buffer.0 as usize];
        assert!(!slot.busy, "the kernel has the buffer");
        slot.busy = true;
        slot
    }

    /// # Safety
    ///
    /// What the entry points to stays valid until its completion.
    unsafe fn queue(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the caller's promise.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }
}

fn completed(slots: &mut [Slot], entry: &cqueue::Entry) -> Completion {
    let result = usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()));
    let buffer = Buffer(entry.user_data() as u32);
    match entry.user_data() >> 32 {
        ACCEPT => Completion::Accepted(result.map(|_| {
            // SAFETY: a successful acceptance returns a new descriptor, which nobody else owns.
            unsafe { OwnedFd::from_raw_fd(entry.result()) }
        })),
        kind => {
            slots[buffer.0 as usize].busy = false;
            match kind {
                RECEIVE => Completion::Received(buffer, result),
                SEND => Completion::Sent(buffer, result),
                _ => Completion::Read(buffer, result),
            }
        }
    }
}
