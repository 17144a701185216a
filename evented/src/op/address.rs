//! Socket addresses as the kernel writes and reads them.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use rustix::net::SocketAddrAny;
use rustix::net::addr::{SocketAddrLen, SocketAddrStorage};

/// Room for an address that the kernel fills in.
pub(super) struct AddressBuffer {
    storage: MaybeUninit<SocketAddrStorage>,
    length: SocketAddrLen,
}

impl AddressBuffer {
    pub(super) fn new() -> Self {
        Self { storage: MaybeUninit::zeroed(), length: size_of::<SocketAddrStorage>() as SocketAddrLen }
    }

    pub(super) fn address(&mut self) -> *mut libc::sockaddr {
        self.storage.as_mut_ptr().cast()
    }

    pub(super) fn length(&mut self) -> *mut libc::socklen_t {
        &mut self.length
    }

    /// The address that the kernel filled in.
    ///
    /// # Errors
    ///
    /// When it is not one of the internet families.
    pub(super) fn get(self) -> io::Result<SocketAddr> {
        let length = self.length.min(size_of::<SocketAddrStorage>() as SocketAddrLen);
        // SAFETY: zeroed at first, then written by the kernel up to the length it gave.
        let address = unsafe { SocketAddrAny::new(self.storage, length) };
        SocketAddr::try_from(address).map_err(io::Error::from)
    }
}
