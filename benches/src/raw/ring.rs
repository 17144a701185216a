//! A ring with the buffers that its operations use, behind safe calls.
//!
//! A buffer is never freed, and cannot be touched while an operation uses it. So the kernel's pointers stay valid, and
//! no buffer changes under the kernel or under the caller, whatever the caller does.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::slice;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::libc::iovec;

/// The number of entries that are queued before they are submitted.
const ENTRIES: u32 = 4096;

/// The number of completions that are enough for one turn, if the kernel has to be asked for more.
const ENOUGH: usize = 64;

/// An io_uring and the memory that its operations use.
pub(crate) struct Ring {
    ring: IoUring,
    slots: Vec<Slot>,
    receive_flags: u16,
}

/// Identifies a buffer of a [`Ring`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer(u32);

impl Buffer {
    /// Returns the number of buffers of its ring that were made before it.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The memory of a buffer, and the one operation that may be using it.
struct Slot {
    memory: *mut u8,
    bytes: usize,
    /// True while an operation is under way.
    busy: bool,
}

/// The end of an operation.
#[derive(Debug)]
pub(crate) enum Completion {
    /// A connection was accepted.
    Accepted(io::Result<OwnedFd>),
    /// This number of bytes was received into the buffer.
    Received(Buffer, io::Result<usize>),
    /// This number of bytes of the buffer was sent.
    Sent(Buffer, io::Result<usize>),
    /// This number of bytes of a file was read into the buffer.
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

    /// Makes a buffer from this memory.
    pub(crate) fn buffer_of(&mut self, memory: &'static mut [u8]) -> Buffer {
        self.slots.push(Slot { memory: memory.as_mut_ptr(), bytes: memory.len(), busy: false });
        Buffer(u32::try_from(self.slots.len() - 1).expect("fewer buffers than 2^32"))
    }

    /// Returns the content of a buffer.
    ///
    /// # Panics
    ///
    /// If an operation uses it.
    pub(crate) fn memory(&mut self, buffer: Buffer) -> &mut [u8] {
        let slot = &self.slots[buffer.0 as usize];
        assert!(!slot.busy, "the kernel has the buffer");
        // SAFETY: `buffer_of` was given this memory for ever, so only this ring knows it. No operation uses it, as was
        // asserted, and `&mut self` prevents one from being queued in the meantime.
        unsafe { slice::from_raw_parts_mut(slot.memory, slot.bytes) }
    }

    /// Returns true if two buffers have the same content.
    ///
    /// # Panics
    ///
    /// If an operation uses one of them.
    pub(crate) fn same(&mut self, one: Buffer, other: Buffer) -> bool {
        let [one, other] = [one, other].map(|buffer| {
            let memory = self.memory(buffer);
            (memory.as_ptr(), memory.len())
        });
        // SAFETY: `memory` has just checked that both are valid and that no operation uses them. They are only read
        // here, and `&mut self` lasts until the end.
        unsafe { slice::from_raw_parts(one.0, one.1) == slice::from_raw_parts(other.0, other.1) }
    }

    /// Queues the accept of a connection.
    pub(crate) fn accept(&mut self, listener: &impl AsRawFd) -> io::Result<()> {
        let entry = opcode::Accept::new(types::Fd(listener.as_raw_fd()), ptr::null_mut(), ptr::null_mut())
            .build()
            .user_data(ACCEPT);
        // SAFETY: the entry points to no memory.
        unsafe { self.queue(&entry) }
    }

    /// Makes each receive queue behind the waiting ones, even if its bytes have arrived (`IORING_RECVSEND_POLL_FIRST`).
    pub(crate) fn poll_first(&mut self) {
        self.receive_flags = POLL_FIRST;
    }

    /// Queues the receive of the next bytes; with `all`, of as many as the buffer holds.
    pub(crate) fn receive(&mut self, connection: &OwnedFd, buffer: Buffer, all: bool) -> io::Result<()> {
        let receive_flags = self.receive_flags;
        let slot = self.occupy(buffer);
        let entry = opcode::Recv::new(types::Fd(connection.as_raw_fd()), slot.memory, slot.bytes as u32)
            .flags(if all { rustix::net::RecvFlags::WAITALL.bits() as i32 } else { 0 })
            .ioprio(receive_flags)
            .build()
            .user_data(RECEIVE << 32 | u64::from(buffer.0));
        // SAFETY: the memory is never freed. Until the completion was seen, `memory` gives nobody access to it, and
        // `occupy` lets no other operation use it. If the owner of a descriptor closes it too early, the operation
        // fails or works on another connection, but does no harm.
        unsafe { self.queue(&entry) }
    }

    /// Queues the send of the first `bytes` of a buffer, all of them.
    pub(crate) fn send(&mut self, connection: &OwnedFd, buffer: Buffer, bytes: usize) -> io::Result<()> {
        let slot = self.occupy(buffer);
        assert!(bytes <= slot.bytes, "there are no more bytes in the buffer");
        let entry = opcode::Send::new(types::Fd(connection.as_raw_fd()), slot.memory, bytes as u32)
            .flags((rustix::net::SendFlags::NOSIGNAL.bits() | rustix::net::RecvFlags::WAITALL.bits()) as i32)
            .build()
            .user_data(SEND << 32 | u64::from(buffer.0));
        // SAFETY: the same as in `receive`; `bytes` is within the buffer.
        unsafe { self.queue(&entry) }
    }

    /// Registers the existing buffers, for [`read`](Self::read).
    pub(crate) fn register(&mut self) -> io::Result<()> {
        let place = |slot: &Slot| iovec { iov_base: slot.memory.cast(), iov_len: slot.bytes };
        let places: Vec<_> = self.slots.iter().map(place).collect();
        // SAFETY: buffers are never freed.
        unsafe { self.ring.submitter().register_buffers(&places) }
    }

    /// Queues the read of a part of a file, of the size of the buffer, which was registered.
    pub(crate) fn read(&mut self, file: &File, buffer: Buffer, offset: u64) -> io::Result<()> {
        let slot = self.occupy(buffer);
        let index = buffer.0.try_into().map_err(io::Error::other)?;
        let entry = opcode::ReadFixed::new(types::Fd(file.as_raw_fd()), slot.memory, slot.bytes as u32, index)
            .offset(offset)
            .build()
            .user_data(READ << 32 | u64::from(buffer.0));
        // SAFETY: the same as in `receive`.
        unsafe { self.queue(&entry) }
    }

    /// Submits the queued entries, waits for a completion, and moves all available ones to `completions`.
    pub(crate) fn wait(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            submitted => drop(submitted?),
        }
        let Self { ring, slots, .. } = self;
        loop {
            let before = completions.len();
            completions.extend(ring.completion().map(|entry| completed(slots, &entry)));
            // The kernel completes at most 20 entries in one call; larger batches pay for a disk. Its flag can stay set
            // when nothing is left, so this stops after a call that brought nothing.
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
    /// Everything that the entry points to stays valid until its completion.
    unsafe fn queue(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: this function's caller promises the same.
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
            // SAFETY: a successful accept returns a new descriptor, which nobody else owns.
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
