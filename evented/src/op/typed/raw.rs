//! Operations whose safety no type can show: who makes one promises it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;

use io_uring::{opcode, squeue};

use super::sealed::Sealed;
use super::{Opcode, done, fd, operation};

/// Says how memory will be used. Linux 5.6.
#[derive(Debug)]
pub struct Madvise {
    start: *mut u8,
    bytes: u32,
    advice: i32,
}

impl Madvise {
    /// Advice `MADV_*` for the pages from `start` on.
    ///
    /// # Safety
    ///
    /// What the advice makes of the pages (zeros, holes, nothing) is no surprise to anybody who has a
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

/// Puts a completion into another ring. Linux 5.18.
#[derive(Debug)]
pub struct MsgRing<'a> {
    ring: BorrowedFd<'a>,
    result: i32,
    user_data: u64,
}

impl<'a> MsgRing<'a> {
    /// A completion with that user data and result.
    ///
    /// # Safety
    ///
    /// Who reaps the ring expects it: most take the user data for a pointer. The rings of an evented runtime
    /// do not.
    pub unsafe fn new(ring: BorrowedFd<'a>, user_data: u64, result: i32) -> Self {
        Self { ring, result, user_data }
    }
}

operation! {
    impl MsgRing<'a>, (), opcode::MsgRingData, ;
    |message, _frame| opcode::MsgRingData::new(fd(message.ring), message.result, message.user_data, None);
    |_message, _frame, answer| done(answer)
}

/// Sets a socket option, by a command of sockets. Linux 6.7.
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
    /// Option `name` of `level`.
    ///
    /// # Safety
    ///
    /// The value is one of that option, and pointers in it are valid for what the option does with them.
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

/// A command of a device or a kind of file, with 16 bytes of its own. Linux 5.19.
#[derive(Debug)]
pub struct UringCmd<'a> {
    file: BorrowedFd<'a>,
    operation: u32,
    arguments: [u8; 16],
}

impl<'a> UringCmd<'a> {
    /// Command `operation` of the file's kind.
    ///
    /// # Safety
    ///
    /// What the command does is sound with these arguments: pointers in them are valid until it has
    /// completed, which it does once.
    pub unsafe fn new(file: BorrowedFd<'a>, operation: u32, arguments: [u8; 16]) -> Self {
        Self { file, operation, arguments }
    }
}

operation! {
    impl UringCmd<'a>, u32, opcode::UringCmd16, ;
    |command, _frame| opcode::UringCmd16::new(fd(command.file), command.operation).cmd(command.arguments);
    |_command, _frame, answer| answer
}

/// Whatever entry: an operation that has no type here, or flags that its type does not offer.
pub struct Raw(squeue::Entry);

impl Raw {
    /// An entry of the crate `io-uring`, whose user data is replaced.
    ///
    /// # Safety
    ///
    /// What the entry points to, and the descriptors it names, are valid until the operation has completed,
    /// which is before it was performed or not at all. It completes once, and the kernel touches nothing of
    /// it afterwards; it is linked to no other (`IO_LINK`) and changes nothing of the ring in which it
    /// comes to be, which belongs to the runtime.
    pub unsafe fn new(entry: squeue::Entry) -> Self {
        Self(entry)
    }
}

impl Sealed for Raw {}

// SAFETY: the promise of who made it.
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::fd::AsFd;

    use io_uring::IoUring;

    use super::super::perform;
    use super::*;
    use crate::{Evented, Options};

    fn with_runtime(body: impl FnOnce(&dyn iolite_io::Io)) {
        let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
        body(evented.io());
    }

    #[test]
    fn an_operation_that_the_kernel_does_not_have_is_unsupported() {
        with_runtime(|io| {
            let mut entry = opcode::Nop::new().build();
            // SAFETY: the opcode is the first byte of an entry.
            unsafe { (&raw mut entry).cast::<u8>().write(250) };
            // SAFETY: it points to nothing.
            let error = perform(io, unsafe { Raw::new(entry) }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("250"), "{error}");
        });
    }

    #[test]
    fn raw_entries() {
        with_runtime(|io| {
            // SAFETY: it points to nothing.
            assert_eq!(perform(io, unsafe { Raw::new(opcode::Nop::new().build()) }).unwrap(), 0);
            // SAFETY: as above.
            let shut = unsafe { Raw::new(opcode::Shutdown::new(io_uring::types::Fd(-1), 0).build()) };
            assert_eq!(perform(io, shut).unwrap_err().raw_os_error(), Some(libc::EBADF));
        });
    }

    #[test]
    fn advice_about_memory() {
        const BYTES: usize = 4096;
        #[repr(align(4096))]
        struct Page([u8; BYTES]);
        with_runtime(|io| {
            let mut page = Box::new(Page([7; BYTES]));
            // SAFETY: nobody else has a reference into the page, which becomes zeros.
            let advice = unsafe { Madvise::new(page.0.as_mut_ptr(), BYTES as u32, libc::MADV_DONTNEED) };
            perform(io, advice).unwrap();
            assert!(std::hint::black_box(&page).0.iter().all(|byte| *byte == 0));
        });
    }

    #[test]
    fn a_completion_in_another_ring() {
        with_runtime(|io| {
            let mut ring = IoUring::new(2).unwrap();
            // SAFETY: it is expected below.
            let message = unsafe { MsgRing::new(as_fd(&ring), 42, 7) };
            perform(io, message).unwrap();
            let completion = ring.completion().next().unwrap();
            assert_eq!((completion.user_data(), completion.result()), (42, 7));
        });
    }

    fn as_fd(ring: &IoUring) -> BorrowedFd<'_> {
        use std::os::fd::AsRawFd;
        // SAFETY: the ring owns it.
        unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) }
    }

    #[test]
    fn commands_of_sockets() {
        const SOCKET_URING_OP_SIOCOUTQ: u32 = 1;
        with_runtime(|io| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (level, name) = (libc::IPPROTO_TCP as u32, libc::TCP_NODELAY as u32);
            let value = 1_u32.to_ne_bytes();
            // SAFETY: that option is a number.
            let set = unsafe { SetSockOpt::new(socket.as_fd(), level, name, &value) };
            match perform(io, set) {
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    return eprintln!("NOT RUN: this kernel's sockets have no commands");
                }
                result => result.unwrap(),
            }
            assert!(socket.nodelay().unwrap());
            // SAFETY: it points to nothing.
            let unsent = unsafe { UringCmd::new(socket.as_fd(), SOCKET_URING_OP_SIOCOUTQ, [0; 16]) };
            assert_eq!(perform(io, unsent).unwrap(), 0);
        });
    }
}
