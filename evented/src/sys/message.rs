//! The header of a message, with its addresses and descriptors.
#![allow(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use iolite_io::backend::{AddressBuffer, kernel_address};
use iolite_io::net::{Address, Received};
use iolite_io::operation::Descriptor;
use rustix::net::SocketAddrAny;

/// The maximum number of descriptors in a message (`SCM_MAX_FD`).
pub(crate) const DESCRIPTORS_MAX: usize = 253;

/// The maximum number of buffers that the kernel accepts in one call (UIO_MAXIOV).
pub(crate) const BUFFERS_MAX: usize = 1024;

/// A message's header, with the memory that it points to besides the buffers.
pub struct Header {
    header: libc::msghdr,
    to: Option<SocketAddrAny>,
    from: AddressBuffer,
    /// Space for descriptors, aligned for their header.
    control: Vec<u64>,
}

impl Default for Header {
    fn default() -> Self {
        // SAFETY: all zeros are a valid header: numbers, and null pointers.
        let header = unsafe { mem::zeroed() };
        Self { header, to: None, from: AddressBuffer::new(), control: Vec::new() }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").finish_non_exhaustive()
    }
}

impl Header {
    /// Points the header to buffers to be filled. The header stays in place until they are filled.
    pub(crate) fn for_receiving(
        &mut self,
        buffers: &mut [IoSliceMut<'_>],
        descriptors_max: usize,
    ) -> *mut libc::msghdr {
        self.header.msg_name = self.from.address().cast();
        self.header.msg_namelen = AddressBuffer::BYTES;
        // std promises that `IoSliceMut` has the layout of an `iovec`.
        self.header.msg_iov = buffers.as_mut_ptr().cast();
        self.header.msg_iovlen = buffers.len().min(BUFFERS_MAX);
        self.make_control_room(descriptors_max.min(DESCRIPTORS_MAX));
        &mut self.header
    }

    /// Returns the received message.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` if the family of the sender's address is unknown.
    ///
    /// # Safety
    ///
    /// The header was made for receiving, and the kernel has filled it.
    pub(crate) unsafe fn received(mut self, count: usize, descriptors_max: usize) -> io::Result<Received> {
        // SAFETY: the kernel has filled `control`, to which the header points, and this is the first access to it.
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

    /// Points the header to bytes and descriptors to be sent. The header stays in place until they are sent.
    pub(crate) fn for_sending(
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
        // std promises that `IoSlice` has the layout of an `iovec`; the kernel only reads it.
        self.header.msg_iov = buffers.as_ptr().cast_mut().cast();
        self.header.msg_iovlen = buffers.len().min(BUFFERS_MAX);
        self.make_control_room(descriptors.len());
        if !descriptors.is_empty() {
            // SAFETY: the header points to space for this number of descriptors.
            unsafe { put_descriptors(&self.header, descriptors) };
        }
        &self.header
    }

    /// Makes space for the control data of this number of descriptors. For none, it allocates nothing.
    fn make_control_room(&mut self, descriptors: usize) {
        if descriptors > 0 {
            // SAFETY: this is only arithmetic.
            let bytes = unsafe { libc::CMSG_SPACE((size_of::<RawFd>() * descriptors) as u32) };
            self.control = vec![0; (bytes as usize).div_ceil(size_of::<u64>())];
        }
        self.header.msg_control = self.control.as_mut_ptr().cast();
        self.header.msg_controllen = size_of_val(&*self.control);
    }
}

/// # Safety
///
/// The header points to control data that has space for the descriptors and for their header.
unsafe fn put_descriptors(header: &libc::msghdr, descriptors: &[BorrowedFd<'_>]) {
    let bytes = size_of_val(descriptors);
    // SAFETY: this function's caller promises that the header points to control data with space for one header and
    // these descriptors, so the first header exists, and enough bytes behind it. It is aligned, because it is the
    // beginning of that data, which consists of `u64`s. std promises that a `BorrowedFd` has the layout of a
    // descriptor's number, and the two do not overlap.
    unsafe {
        let part = libc::CMSG_FIRSTHDR(header);
        (*part).cmsg_level = libc::SOL_SOCKET;
        (*part).cmsg_type = libc::SCM_RIGHTS;
        (*part).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
        libc::CMSG_DATA(part).copy_from_nonoverlapping(descriptors.as_ptr().cast(), bytes);
    }
}

/// Takes the descriptors that came with a message.
///
/// # Safety
///
/// The kernel has filled the control data that the header points to, and nobody has taken these descriptors yet.
unsafe fn take_descriptors(header: &libc::msghdr) -> Vec<Descriptor> {
    let mut descriptors = Vec::new();
    // SAFETY: this function's caller promises that the kernel has filled the control data. So the length of each part
    // is that of its header and the data behind it, all of it within the control data, and the macros of libc stay in
    // it. The kernel names new descriptors there, which no other code knows and which are taken once.
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
