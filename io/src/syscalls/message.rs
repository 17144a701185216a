//! Messages with their addresses and descriptors, in one system call each.
#![allow(unsafe_code)]

use std::io::{IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{array, fmt, io, ptr};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::addr::{SocketAddrLen, SocketAddrStorage};
use rustix::net::{
    self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrAny,
};

use crate::descriptor::Descriptor;
use crate::operation::address::{address_from_kernel, kernel_address};
use crate::operation::{Address, Message, OutgoingMessage, Received};

/// The maximum number of messages in one system call.
const MESSAGES_MAX: usize = 32;

/// The maximum number of buffers that the system takes at once (`IOV_MAX`).
const BUFFERS_MAX: usize = 1024;

/// The maximum number of descriptors in a message (`SCM_MAX_FD`).
const DESCRIPTORS_MAX: usize = 253;

/// Says whether a call may wait in the kernel until the socket is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketWait {
    /// It waits, unless the socket is non-blocking.
    Allowed,
    /// It does not wait, whatever the mode of the socket.
    Refused,
}

impl SocketWait {
    fn flag(self) -> i32 {
        match self {
            SocketWait::Allowed => 0,
            SocketWait::Refused => libc::MSG_DONTWAIT,
        }
    }

    /// Returns the flags to receive with.
    pub fn receive_flags(self) -> RecvFlags {
        RecvFlags::from_bits_retain(self.flag() as u32)
    }

    /// Returns the flags to send with, which suppress `SIGPIPE`.
    pub fn send_flags(self) -> SendFlags {
        SendFlags::from_bits_retain(self.flag() as u32) | SendFlags::NOSIGNAL
    }
}

/// Room for an address that the kernel fills in.
pub struct AddressBuffer {
    storage: MaybeUninit<SocketAddrStorage>,
    length: SocketAddrLen,
}

impl fmt::Debug for AddressBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressBuffer").field("length", &self.length).finish_non_exhaustive()
    }
}

impl AddressBuffer {
    /// The size of the storage for an address in bytes.
    pub const BYTES: SocketAddrLen = size_of::<SocketAddrStorage>() as SocketAddrLen;

    /// Makes storage without an address.
    pub fn new() -> Self {
        Self { storage: MaybeUninit::zeroed(), length: Self::BYTES }
    }

    /// Returns the pointer to which the kernel writes the address.
    pub fn address(&mut self) -> *mut libc::sockaddr {
        self.storage.as_mut_ptr().cast()
    }

    /// Returns the pointer to which the kernel writes the length. Before the call it holds the size of the storage.
    pub fn length(&mut self) -> *mut libc::socklen_t {
        &mut self.length
    }

    /// Sets the length of the address, if the kernel reports it elsewhere.
    pub fn set_length(&mut self, length: libc::socklen_t) {
        self.length = length;
    }

    /// Returns the address that the kernel wrote, if it wrote one.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` if its family is unknown to [`Address`].
    pub fn get(self) -> io::Result<Option<Address>> {
        let length = self.length.min(Self::BYTES);
        if (length as usize) < size_of::<libc::sa_family_t>() {
            return Ok(None);
        }
        // SAFETY: `length` is at least that of a family and no more than the storage has, and all of these bytes are
        // initialized: `new` zeroed them, and the kernel wrote an address over them or nothing. Whether they are an address
        // of their family is checked where it is converted.
        let address = unsafe { SocketAddrAny::new(self.storage, length) };
        address_from_kernel(address).map(Some)
    }
}

impl Default for AddressBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// Receives a message; performs [`Operation::ReceiveMessage`](crate::operation::Operation::ReceiveMessage).
///
/// # Errors
///
/// The errors of `recvmsg`; `EAGAIN` if there is no message and the call does not wait.
pub fn receive_message(
    socket: &Descriptor,
    buffers: &mut [IoSliceMut<'_>],
    peek: bool,
    descriptors_max: usize,
    wait: SocketWait,
) -> io::Result<Received> {
    let descriptors_max = descriptors_max.min(DESCRIPTORS_MAX);
    let mut room = vec![MaybeUninit::uninit(); control_bytes(descriptors_max)];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut flags = wait.receive_flags() | RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::PEEK, peek);
    let count = buffers.len().min(BUFFERS_MAX);
    let message = net::recvmsg(socket, &mut buffers[..count], &mut control, flags)?;
    // Before anything can fail, because the descriptors are open.
    let mut descriptors: Vec<Descriptor> = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = part {
            descriptors.extend(fds.map(Descriptor::from));
        }
    }
    let descriptors_truncated = message.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > descriptors_max;
    descriptors.truncate(descriptors_max);
    Ok(Received {
        count: message.bytes,
        from: message.address.map(address_from_kernel).transpose()?,
        truncated: message.flags.contains(ReturnFlags::TRUNC),
        descriptors,
        descriptors_truncated,
    })
}

/// Sends a message; performs [`Operation::SendMessage`](crate::operation::Operation::SendMessage).
///
/// # Errors
///
/// The errors of `sendmsg`; `EAGAIN` if there is no room and the call does not wait.
pub fn send_message(
    socket: &Descriptor,
    buffers: &[IoSlice<'_>],
    to: Option<&Address>,
    descriptors: &[BorrowedFd<'_>],
    wait: SocketWait,
) -> rustix::io::Result<usize> {
    let mut room = vec![MaybeUninit::uninit(); control_bytes(descriptors.len())];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let buffers = &buffers[..buffers.len().min(BUFFERS_MAX)];
    let flags = wait.send_flags();
    match to {
        Some(to) => net::sendmsg_addr(socket, &kernel_address(to), buffers, &mut control, flags),
        None => net::sendmsg(socket, buffers, &mut control, flags),
    }
}

/// Returns 0 if no descriptors go with the message, so that nothing is allocated.
fn control_bytes(descriptors: usize) -> usize {
    if descriptors == 0 { 0 } else { cmsg_space!(ScmRights(descriptors)) }
}

/// Receives up to 32 messages without waiting; performs
/// [`Operation::ReceiveMany`](crate::operation::Operation::ReceiveMany).
///
/// # Errors
///
/// The errors of `recvmmsg`; `EAGAIN` if there is no message.
pub fn try_receive_many(socket: &Descriptor, messages: &mut [Message]) -> io::Result<usize> {
    let mut senders: [AddressBuffer; MESSAGES_MAX] = array::from_fn(|_| AddressBuffer::new());
    let mut buffers: [IoSliceMut<'_>; MESSAGES_MAX] = array::from_fn(|_| IoSliceMut::new(&mut []));
    let mut headers = no_headers();
    let count = messages.len().min(MESSAGES_MAX);
    for (buffer, message) in buffers.iter_mut().zip(&mut *messages) {
        *buffer = IoSliceMut::new(&mut message.buffer);
    }
    for index in 0..count {
        let header = &mut headers[index].msg_hdr;
        header.msg_name = senders[index].address().cast();
        header.msg_namelen = AddressBuffer::BYTES;
        header.msg_iov = (&raw mut buffers[index]).cast();
        header.msg_iovlen = 1;
    }
    // SAFETY: `headers` has at least `count` elements, and `recvmmsg` reads and writes no more. In each of them
    // the name points to an `AddressBuffer` of this frame, with the length that it has; there is one buffer, an
    // `IoSliceMut`, which std guarantees to have the layout of `iovec`, of bytes that `messages` lends exclusively until this
    // returns; and control data has null and 0, so none is written. The timeout may be null.
    let received = unsafe {
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, flags as _, ptr::null_mut())
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for ((message, header), mut sender) in messages.iter_mut().zip(&headers).zip(senders).take(received) {
        sender.set_length(header.msg_hdr.msg_namelen);
        message.count = (header.msg_len as usize).min(message.buffer.len());
        message.truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        // An address of an unknown family cannot arrive: such a socket would be of that family itself.
        message.from = sender.get().unwrap_or_default();
    }
    Ok(received)
}

/// Sends up to 32 messages without waiting; performs [`Operation::SendMany`](crate::operation::Operation::SendMany).
///
/// # Errors
///
/// The errors of `sendmmsg`; `EAGAIN` if there is no room.
pub fn try_send_many(socket: &Descriptor, messages: &[OutgoingMessage<'_>]) -> io::Result<usize> {
    send_many(socket, messages, SocketWait::Refused)
}

/// Sends messages like [`try_send_many`], but may wait until there is room for all of them.
///
/// # Errors
///
/// See [`try_send_many`].
pub fn send_many(socket: &Descriptor, messages: &[OutgoingMessage<'_>], wait: SocketWait) -> io::Result<usize> {
    let count = messages.len().min(MESSAGES_MAX);
    let buffers: [IoSlice<'_>; MESSAGES_MAX] =
        array::from_fn(|index| IoSlice::new(messages.get(index).map_or(&[], |message| message.bytes)));
    let receivers: [Option<SocketAddrAny>; MESSAGES_MAX] =
        array::from_fn(|index| messages.get(index)?.to.as_ref().map(kernel_address));
    let mut headers = no_headers();
    for index in 0..count {
        let header = &mut headers[index].msg_hdr;
        if let Some(receiver) = &receivers[index] {
            header.msg_name = receiver.as_ptr().cast_mut().cast();
            header.msg_namelen = receiver.addr_len();
        }
        header.msg_iov = (&raw const buffers[index]).cast_mut().cast();
        header.msg_iovlen = 1;
    }
    // SAFETY: `headers` has at least `count` elements, and `sendmmsg` reads no more and writes only how many bytes of each
    // were sent, which is a field of it. The name is null, or an address of `receivers` with its length; there is one
    // buffer, an `IoSlice`, which std guarantees to have the layout of `iovec`, of bytes that `messages` lends; control data
    // has null and 0. The kernel only reads through these pointers, and all they point to outlives the call.
    let sent = unsafe {
        let flags = wait.flag() | libc::MSG_NOSIGNAL;
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, flags as _)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Makes headers without a name, buffers or control data.
fn no_headers() -> [libc::mmsghdr; MESSAGES_MAX] {
    // SAFETY: `mmsghdr` is a C structure of numbers and raw pointers, so all zeros are a value of it, and so of an array.
    unsafe { mem::zeroed() }
}
