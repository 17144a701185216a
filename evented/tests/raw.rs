//! Operations whose constructors are unsafe.
#![allow(unsafe_code)]

mod support;

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use io_uring::{IoUring, opcode};
use iolite_conformance::{Case, On, cases, whole};
use iolite_evented::{Evented, Options, op};
use iolite_io::Io;

const CASES: &[Case] = cases![commands_of_sockets];
const WHOLE: &[Case] = whole![
    an_operation_that_the_kernel_does_not_have_is_unsupported,
    raw_entries,
    advice_about_memory,
    a_completion_in_another_ring,
];

fn main() -> ExitCode {
    support::run(&[CASES, WHOLE])
}

fn with_runtime(body: impl FnOnce(&dyn Io)) {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    body(evented.io());
}

fn an_operation_that_the_kernel_does_not_have_is_unsupported() {
    with_runtime(|io| {
        let mut entry = opcode::Nop::new().build();
        // SAFETY: the opcode is the first byte of an entry.
        unsafe { (&raw mut entry).cast::<u8>().write(250) };
        // SAFETY: the entry points to nothing.
        let error = op::perform(io, unsafe { op::Raw::new(entry) }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("250"), "{error}");
    });
}

fn raw_entries() {
    with_runtime(|io| {
        // SAFETY: the entry points to nothing.
        assert_eq!(op::perform(io, unsafe { op::Raw::new(opcode::Nop::new().build()) }).unwrap(), 0);
        // SAFETY: the entry points to nothing.
        let shut = unsafe { op::Raw::new(opcode::Shutdown::new(io_uring::types::Fd(-1), 0).build()) };
        assert_eq!(op::perform(io, shut).unwrap_err().raw_os_error(), Some(libc::EBADF));
    });
}

fn advice_about_memory() {
    const BYTES: usize = 4096;
    #[repr(align(4096))]
    struct Page([u8; BYTES]);
    with_runtime(|io| {
        let mut page = Box::new(Page([7; BYTES]));
        // SAFETY: no other code has a reference into the page, which becomes zeros.
        let advice = unsafe { op::Madvise::new(page.0.as_mut_ptr(), BYTES as u32, libc::MADV_DONTNEED) };
        op::perform(io, advice).unwrap();
        assert!(std::hint::black_box(&page).0.iter().all(|byte| *byte == 0));
    });
}

fn a_completion_in_another_ring() {
    with_runtime(|io| {
        let mut ring = IoUring::new(2).unwrap();
        // SAFETY: the code below expects this completion.
        let message = unsafe { op::MsgRing::new(as_fd(&ring), 42, 7) };
        op::perform(io, message).unwrap();
        let completion = ring.completion().next().unwrap();
        assert_eq!((completion.user_data(), completion.result()), (42, 7));
    });
}

fn as_fd(ring: &IoUring) -> BorrowedFd<'_> {
    use std::os::fd::AsRawFd;
    // SAFETY: the ring owns it.
    unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) }
}

fn commands_of_sockets(on: &On) {
    const SOCKET_URING_OP_SIOCOUTQ: u32 = 1;
    with_runtime(|io| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (level, name) = (libc::IPPROTO_TCP as u32, libc::TCP_NODELAY as u32);
        let value = 1_u32.to_ne_bytes();
        // SAFETY: the value of that option is a number.
        let set = unsafe { op::SetSockOpt::new(socket.as_fd(), level, name, &value) };
        match op::perform(io, set) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                return on.not_run("this kernel's sockets have no commands");
            }
            result => result.unwrap(),
        }
        assert!(socket.nodelay().unwrap());
        // SAFETY: the command points to nothing.
        let unsent = unsafe { op::UringCmd::new(socket.as_fd(), SOCKET_URING_OP_SIOCOUTQ, [0; 16]) };
        assert_eq!(op::perform(io, unsent).unwrap(), 0);
    });
}
