//! Operations whose safety no type can express, so the code that makes one promises it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;

use io_uring::{opcode, squeue};

use super::sealed::Sealed;
use super::{Opcode, done, fd, operation};

/// Announces how memory will be used. Linux 5.6.
#[derive(Debug)]
pub struct Madvise {
    start: *mut u8,
    bytes: u32,
    advice: i32,
}

impl Madvise {
    /// Makes advice `MADV_*` for the pages from `start` on.
    ///
    /// # Safety
    ///
    /// The effect of the advice on the pages (zeros, holes, no memory at all) is acceptable to all code that has a
    /// reference into them.
    pub unsafe fn new(start: *mut u8, bytes: u32, advice: i32) -> Self {
        Self { start, bytes, advice }
    }
}

operation! {
    impl Madvise, (), opcode::Madvise, ;
    |advise, _frame| opcode::Madvise::new(advise.start.cast(), advise.bytes.into(), advise.advice);
    |_advise, _frame, answer| done(answer)
}

/// Posts a completion to another ring. Linux 5.18.
#[derive(Debug)]
pub struct MsgRing<'a> {
    ring: BorrowedFd<'a>,
    result: i32,
    user_data: u64,
}

impl<'a> MsgRing<'a> {
    /// Makes a completion with this user data and result.
    ///
    /// # Safety
    ///
    /// The code that reaps the ring expects this completion: most code takes the user data for a pointer. The rings of
    /// an evented runtime do not expect it.
    pub unsafe fn new(ring: BorrowedFd<'a>, user_data: u64, result: i32) -> Self {
        Self { ring, result, user_data }
    }
}

operation! {
    impl MsgRing<'a>, (), opcode::MsgRingData, ;
    |message, _frame| opcode::MsgRingData::new(fd(message.ring), message.result, message.user_data, None);
    |_message, _frame, answer| done(answer)
}

/// Sets a socket option with a command of sockets. Linux 6.7.
///
/// The vocabulary has [the usual ones](iolite_io::net::option), which are safe.
#[derive(Debug)]
pub struct SetSockOpt<'a> {
    socket: BorrowedFd<'a>,
    level: u32,
    name: u32,
    value: &'a [u8],
}

impl<'a> SetSockOpt<'a> {
    /// Makes a setter of the option `name` of `level`.
    ///
    /// # Safety
    ///
    /// The value belongs to that option, and pointers in it are valid for everything that the option does with them.
    pub unsafe fn new(socket: BorrowedFd<'a>, level: u32, name: u32, value: &'a [u8]) -> Self {
        Self { socket, level, name, value }
    }
}

operation! {
    impl SetSockOpt<'a>, (), opcode::SetSockOpt, ;
    |set, _frame| opcode::SetSockOpt::new(
        fd(set.socket), set.level, set.name, set.value.as_ptr().cast(), set.value.len() as u32,
    );
    |_set, _frame, answer| done(answer)
}

/// Performs a command of a device or a kind of file, with 16 bytes of arguments. Linux 5.19.
#[derive(Debug)]
pub struct UringCmd<'a> {
    file: BorrowedFd<'a>,
    operation: u32,
    arguments: [u8; 16],
}

impl<'a> UringCmd<'a> {
    /// Makes the command `operation` of the file's kind.
    ///
    /// # Safety
    ///
    /// The effects of the command are sound with these arguments: pointers in them are valid until the command has
    /// completed, and it completes once.
    pub unsafe fn new(file: BorrowedFd<'a>, operation: u32, arguments: [u8; 16]) -> Self {
        Self { file, operation, arguments }
    }
}

operation! {
    impl UringCmd<'a>, u32, opcode::UringCmd16, ;
    |command, _frame| opcode::UringCmd16::new(fd(command.file), command.operation).cmd(command.arguments);
    |_command, _frame, answer| answer
}

/// Any entry, for an operation that has no type here, or for flags that its type does not offer.
pub struct Raw(squeue::Entry);

impl Raw {
    /// Wraps an entry of the crate `io-uring`. Its user data is replaced.
    ///
    /// # Safety
    ///
    /// Everything that the entry points to, and the descriptors that it names, are valid until the operation has
    /// completed, which is before it was performed or not at all. It completes once, and the kernel does not touch this
    /// memory afterwards. It is not linked to another entry (`IO_LINK`), and does not change the ring that performs it,
    /// which belongs to the runtime.
    pub unsafe fn new(entry: squeue::Entry) -> Self {
        Self(entry)
    }
}

impl Sealed for Raw {}

// SAFETY: the caller of `Raw::new` promises each of these: everything that the entry points to is valid until it has
// completed, it completes once, and the kernel does not touch the memory after that.
unsafe impl Opcode for Raw {
    type Output = u32;
    type Frame = ();

    fn entry(&mut self, (): &mut ()) -> squeue::Entry {
        self.0.clone()
    }

    unsafe fn output(self, (): (), answer: io::Result<u32>) -> io::Result<u32> {
        answer
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").field("opcode", &self.0.get_opcode()).finish_non_exhaustive()
    }
}
