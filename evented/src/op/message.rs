//! Messages, with their addresses and descriptors.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{opcode, types};
use iolite_io::backend::{AddressBuffer, kernel_address, try_receive_many, try_send_many};
use iolite_io::net::{Address, Message, OutgoingMessage, Received};
use iolite_io::operation::{Descriptor, Interest, Output};
use rustix::net::SocketAddrAny;

use super::limits::{BUFFERS_MAX, LOOK_AGAIN};
use super::perform::Performer;
use super::wait::{receive_in_turn, until_done};

/// How many descriptors can go with a message (`SCM_MAX_FD`).
const DESCRIPTORS_MAX: usize = 253;

pub(super) fn receive(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffers: &mut [IoSliceMut<'_>],
    peek: bool,
    descriptors_max: usize,
) -> io::Result<Output> {
    let mut header = Header::default();
    let flags = libc::MSG_CMSG_CLOEXEC | if peek { libc::MSG_PEEK } else { 0 };
    let fd = types::Fd(socket.as_raw_fd());
    let place = header.for_receiving(buffers, descriptors_max);
    let entry = |ioprio| opcode::RecvMsg::new(fd, place).flags(flags as u32).ioprio(ioprio).build();
    // SAFETY: the entry points to `header`, that to itself and `buffers`; both are there until it returns.
    let Some(count) = (unsafe { receive_in_turn(performer, socket, entry) })? else {
        return Ok(Output::Received(Received::default()));
    };
    // SAFETY: it was made for receiving, and the kernel has filled it, for it says how many bytes came.
    unsafe { header.received(count as usize, descriptors_max) }.map(Output::Received)
}

pub(super) fn send(
    performer: &Performer<'_>,
    socket: &Descriptor,
    buffers: &[IoSlice<'_>],
    to: Option<&Address>,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<Output> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut header = Header::default();
    let fd = types::Fd(socket.as_raw_fd());
    let entry = opcode::SendMsg::new(fd, header.for_sending(buffers, to, descriptors)).flags(SEND_FLAGS as u32).build();
    let attempt = || {
        // SAFETY: the entry points to `header`, that to itself and `buffers`; both, and the descriptors that it
        // names, are there until it returns.
        unsafe { performer.run(&entry) }.map(|count| count as usize)
    };
    until_sent(performer, socket, to, attempt)
}

/// How messages are sent. The kernel must not wait and try again: it would go on behind the bytes that it has
/// read for the first attempt, and send a message without them (seen with Unix sockets, up to Linux 6.18).
pub(super) const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// A message's header, with what it points to beside the buffers.
pub struct Header {
    header: libc::msghdr,
    to: Option<SocketAddrAny>,
    from: AddressBuffer,
    /// Room for descriptors, aligned for their header.
    control: Vec<u64>,
}

impl Default for Header {
    fn default() -> Self {
        // SAFETY: all-zero is a header: numbers, and pointers that are null.
        let header = unsafe { mem::zeroed() };
        Self { header, to: None, from: AddressBuffer::new(), control: Vec::new() }
    }
}

impl Header {
    /// Points it to buffers to be filled. It stays where it is until they are.
    pub(super) fn for_receiving(
        &mut self,
        buffers: &mut [IoSliceMut<'_>],
        descriptors_max: usize,
    ) -> *mut libc::msghdr {
        self.header.msg_name = self.from.address().cast();
        self.header.msg_namelen = AddressBuffer::BYTES;
        // `IoSliceMut` is an `iovec` in memory, by std's promise.
        self.header.msg_iov = buffers.as_mut_ptr().cast();
        self.header.msg_iovlen = buffers.len().min(BUFFERS_MAX);
        self.make_control_room(descriptors_max.min(DESCRIPTORS_MAX));
        &mut self.header
    }

    /// What has come.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` when the sender's address is of a family that nobody knows.
    ///
    /// # Safety
    ///
    /// It was made for receiving, and the kernel has filled it.
    pub(super) unsafe fn received(mut self, count: usize, descriptors_max: usize) -> io::Result<Received> {
        // SAFETY: the kernel has filled `control`, to which the header points; this is the first look at it.
        let mut descriptors = unsafe { take_descriptors(&self.header) };
        let descriptors_truncated =
            self.header.msg_flags & libc::MSG_CTRUNC != 0 || descriptors.len() > descriptors_max;
        descriptors.truncate(descriptors_max);
        self.from.set_length(self.header.msg_namelen);
        Ok(Received {
            count,
            from: self.from.get()?,
            truncated: self.header.msg_flags & libc::MSG_TRUNC != 0,
            descriptors,
            descriptors_truncated,
        })
    }

    /// Points it to bytes and descriptors to be sent. It stays where it is until they are.
    pub(super) fn for_sending(
        &mut self,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> *const libc::msghdr {
        self.to = to.map(kernel_address);
        if let Some(to) = &self.to {
            self.header.msg_name = to.as_ptr().cast_mut().cast();
            self.header.msg_namelen = to.addr_len();
        }
        // `IoSlice` is an `iovec` in memory, by std's promise; the kernel only reads it.
        self.header.msg_iov = buffers.as_ptr().cast_mut().cast();
        self.header.msg_iovlen = buffers.len().min(BUFFERS_MAX);
        self.make_control_room(descriptors.len());
        if !descriptors.is_empty() {
            // SAFETY: the header points to room for that many.
            unsafe { put_descriptors(&self.header, descriptors) };
        }
        &self.header
    }

    /// Makes room for the control data of that many descriptors; none, and so nothing is allocated, for none.
    fn make_control_room(&mut self, descriptors: usize) {
        if descriptors > 0 {
            // SAFETY: it is arithmetic.
            let bytes = unsafe { libc::CMSG_SPACE((size_of::<RawFd>() * descriptors) as u32) };
            self.control = vec![0; (bytes as usize).div_ceil(size_of::<u64>())];
        }
        self.header.msg_control = self.control.as_mut_ptr().cast();
        self.header.msg_controllen = size_of_val(&*self.control);
    }
}

/// Many messages, with one system call: io_uring has none for that.
pub(super) fn receive_many(
    performer: &Performer<'_>,
    socket: &Descriptor,
    messages: &mut [Message],
) -> io::Result<Output> {
    let count = until_done(performer, socket, Interest::Readable, || try_receive_many(socket, messages))?;
    Ok(Output::Count(count.unwrap_or(0)))
}

/// Sends many messages, with one system call.
pub(super) fn send_many(
    performer: &Performer<'_>,
    socket: &Descriptor,
    messages: &[OutgoingMessage<'_>],
) -> io::Result<Output> {
    let to = messages.first().and_then(|message| message.to.as_ref());
    until_sent(performer, socket, to, || try_send_many(socket, messages))
}

/// Attempts to send until there is room. For room in the queue of a Unix socket that the own one is not connected to
/// nothing can wait; it is looked for again soon.
fn until_sent(
    performer: &Performer<'_>,
    socket: &Descriptor,
    to: Option<&Address>,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> io::Result<Output> {
    let to_other = matches!(to, Some(Address::Unix(_)));
    let attempt = || loop {
        match attempt() {
            Err(error) if to_other && error.kind() == io::ErrorKind::WouldBlock => performer.pause(LOOK_AGAIN)?,
            result => return result,
        }
    };
    let count = until_done(performer, socket, Interest::Writable, attempt)?;
    Ok(Output::Count(count.unwrap_or(0)))
}

/// # Safety
///
/// The header points to control data that has room for the descriptors, and for their header.
unsafe fn put_descriptors(header: &libc::msghdr, descriptors: &[BorrowedFd<'_>]) {
    let bytes = size_of_val(descriptors);
    // SAFETY: the header points to control data with room for one header and these descriptors, as this function's caller
    // says, so the first header is there, and so many bytes behind it. It is aligned, for it is the beginning of that
    // data, of `u64`s. `BorrowedFd` is a descriptor's number in memory, as std says, and the two do not overlap.
    unsafe {
        let part = libc::CMSG_FIRSTHDR(header);
        (*part).cmsg_level = libc::SOL_SOCKET;
        (*part).cmsg_type = libc::SCM_RIGHTS;
        (*part).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
        libc::CMSG_DATA(part).copy_from_nonoverlapping(descriptors.as_ptr().cast(), bytes);
    }
}

/// The descriptors that came with a message.
///
/// # Safety
///
/// The header points to control data that the kernel has filled, and nobody has taken these descriptors yet.
unsafe fn take_descriptors(header: &libc::msghdr) -> Vec<Descriptor> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the control data, as this function's caller says, so the length of each part is that
    // of its header and what follows, all of it within the data; the macros of libc stay in it. What the kernel names there
    // are new descriptors, which nobody else knows and which are taken once.
    unsafe {
        let mut part = libc::CMSG_FIRSTHDR(header);
        while let Some(here) = part.as_ref() {
            if (here.cmsg_level, here.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let bytes = here.cmsg_len - libc::CMSG_LEN(0) as usize;
                let numbers = libc::CMSG_DATA(part).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    let number = numbers.add(index).read_unaligned();
                    descriptors.push(OwnedFd::from_raw_fd(number).into());
                }
            }
            part = libc::CMSG_NXTHDR(header, part);
        }
    }
    descriptors
}
