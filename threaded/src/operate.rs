//! Operations as system calls on the calling thread.
//!
//! A call blocks in the kernel, and a request interrupts it there ([`interruptible`]). Two things turn an operation
//! into more than one call:
//!
//! - a deadline. `ppoll` has to observe it, so the descriptor is tried with `MSG_DONTWAIT` or `RWF_NOWAIT`, whatever
//!   its mode, and then waited for. For calls without such a flag, a timer interrupts the call;
//! - a descriptor in non-blocking mode, which is waited for if the call would have blocked.
//!
//! Writes that need not write everything also try first: they write at once as much as there is room for, where a
//! blocking call would wait for room for all bytes.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use iolite_io::backend::{
    self, Context, DiskWait, Interest, Round, Rounds, SocketWait, Spliced, begin_connect, connect, file_type,
    finish_connect, interruptible, interruptible_until, is_ready, lacks_descriptor, receive_message, send_many,
    send_message, try_receive_many, try_splice, wait_ready,
};
use iolite_io::fs::{OpenOptions, PathAt};
use iolite_io::net::{Address, Message, OutgoingMessage, Received};
use iolite_io::operation::{Descriptor, Output};
use iolite_io::{Canceled, Io};
use rustix::fs::{FileType, OFlags, fcntl_getfl};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, read, readv, retry_on_intr, write, writev};
use rustix::net::{self, RecvFlags};

/// The interval of attempts for conditions that nothing can wait for, such as room in the queue of a Unix socket to
/// which the sending socket is not connected.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The maximum number of buffers of a vectored call (`UIO_MAXIOV`).
const BUFFERS_MAX: usize = 1024;

/// The number of bytes that a pipe accepts as soon as it is ready (`PIPE_BUF`).
const PIPE_BYTES: usize = 4096;

/// The offset that stands for the file's own position.
const POSITION: u64 = u64::MAX;

/// The calling context, which makes system calls in the place of operations.
pub(crate) struct Caller<'a> {
    io: &'a dyn Io,
    context: &'a Context,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(io: &'a dyn Io, context: &'a Context) -> Self {
        Self { io, context }
    }

    pub(crate) fn open(&self, at: PathAt<'_>, options: &OpenOptions) -> io::Result<Descriptor> {
        self.until_returned(|| backend::open_file(at, options))
    }

    pub(crate) fn sync(&self, file: &Descriptor, data_only: bool) -> io::Result<()> {
        Ok(retry_on_intr(|| if data_only { rustix::fs::fdatasync(file) } else { rustix::fs::fsync(file) })?)
    }

    pub(crate) fn receive_message(
        &self,
        socket: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        peek: bool,
        descriptors_max: usize,
    ) -> io::Result<Received> {
        let attempt = |wait| receive_message(socket, buffers, peek, descriptors_max, wait);
        self.until_done(socket, Interest::Readable, attempt).map(Option::unwrap_or_default)
    }

    pub(crate) fn receive_many(&self, socket: &Descriptor, messages: &mut [Message]) -> io::Result<usize> {
        // On a socket that was shut down, a call that waits would report the end as an empty message.
        let attempt = || try_receive_many(socket, messages);
        self.until_tried(socket, Interest::Readable, attempt).map(Option::unwrap_or_default)
    }

    pub(crate) fn send_message(
        &self,
        socket: &Descriptor,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<usize> {
        self.until_sent(socket, to, |wait| Ok(send_message(socket, buffers, to, descriptors, wait)?))
    }

    pub(crate) fn send_many(&self, socket: &Descriptor, messages: &[OutgoingMessage<'_>]) -> io::Result<usize> {
        let to = messages.first().and_then(|message| message.to.as_ref());
        let attempt = |wait| match wait {
            SocketWait::Refused => send_many(socket, messages, wait),
            // Waits only to send the first message.
            SocketWait::Allowed => send_many(socket, &messages[..messages.len().min(1)], wait),
        };
        self.until_sent(socket, to, attempt)
    }

    pub(crate) fn accept(&self, listener: &Descriptor) -> io::Result<Output> {
        let accept = || match backend::accept(listener) {
            // The kernel looks for a free descriptor number first, even if there is no connection.
            Err(error) if lacks_descriptor(&error) && !is_ready(listener, Interest::Readable)? => {
                Err(Errno::AGAIN.into())
            }
            result => result,
        };
        let accepted = if self.context.deadline().is_some() && !is_nonblocking(listener)? {
            self.until_called(listener, Interest::Readable, accept)?
        } else {
            self.until_tried(listener, Interest::Readable, || interruptible(accept))?
        };
        // A waiting call returns this error for a listener that was shut down.
        Ok(accepted.ok_or(Errno::INVAL)?)
    }

    pub(crate) fn connect(&self, socket: &Descriptor, address: &Address) -> io::Result<()> {
        let mut was_interrupted = false;
        loop {
            self.context.check(self.io)?;
            let result = match self.context.deadline() {
                // If this call is interrupted and made again, it continues to wait.
                None => interruptible(|| Ok(connect(socket, address)?)),
                Some(_) => begin_connect(socket, address).map_err(io::Error::from),
            };
            let Err(error) = result else { return Ok(()) };
            match Errno::from_io_error(&error) {
                Some(Errno::INTR) => was_interrupted = true,
                Some(Errno::ISCONN) if was_interrupted => return Ok(()),
                Some(Errno::AGAIN) if matches!(address, Address::Unix(_)) => self.look_again()?,
                // Either the socket is non-blocking, or there is a deadline.
                Some(Errno::INPROGRESS | Errno::ALREADY) => break,
                _ => return Err(error),
            }
        }
        self.until_tried(socket, Interest::Writable, || finish_connect(socket)).map(Option::unwrap_or_default)
    }

    pub(crate) fn ready(&self, descriptor: &Descriptor, interest: Interest) -> io::Result<()> {
        if interest == Interest::HungUp {
            // A poll also ends if the descriptor has a pending error.
            return self
                .until_tried(descriptor, interest, || backend::expect_ready(descriptor, interest))
                .map(Option::unwrap_or_default);
        }
        while !self.wait(descriptor, interest)? {}
        Ok(())
    }

    pub(crate) fn receive(&self, socket: &Descriptor, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let peek = if peek { RecvFlags::PEEK } else { RecvFlags::empty() };
        let attempt = |wait: SocketWait| Ok(net::recv(socket, &mut *buffer, wait.receive_flags() | peek)?.0);
        self.until_done(socket, Interest::Readable, attempt).map(Option::unwrap_or_default)
    }

    pub(crate) fn send(&self, socket: &Descriptor, buffer: &[u8], all: bool) -> io::Result<usize> {
        if !all {
            let attempt = |wait: SocketWait| Ok(net::send(socket, buffer, wait.send_flags())?);
            return if buffer.is_empty() { Ok(0) } else { self.until_sent(socket, None, attempt) };
        }
        let mut sent = 0;
        while sent < buffer.len() {
            let attempt = |wait: SocketWait| Ok(net::send(socket, &buffer[sent..], wait.send_flags())?);
            match self.until_done(socket, Interest::Writable, attempt) {
                Ok(count) => sent += count.unwrap_or_default(),
                Err(error) if sent == 0 => return Err(error),
                Err(error) => {
                    // Progress wins: a request stays pending, and any other error comes again.
                    if let Ok(canceled) = Canceled::from_error(error) {
                        self.context.recancel(canceled);
                    }
                    break;
                }
            }
        }
        Ok(sent)
    }

    /// Sends as much as there is room for. Only the call itself can wait for room in the queue of another Unix socket.
    fn until_sent(
        &self,
        socket: &Descriptor,
        to: Option<&Address>,
        mut attempt: impl FnMut(SocketWait) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !matches!(to, Some(Address::Unix(_))) {
            return self
                .until_tried(socket, Interest::Writable, || attempt(SocketWait::Refused))
                .map(Option::unwrap_or_default);
        }
        loop {
            self.context.check(self.io)?;
            let result = match attempt(SocketWait::Refused) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.context.deadline().is_none() => {
                    interruptible(|| attempt(SocketWait::Allowed))
                }
                result => result,
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.look_again()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn look_again(&self) -> io::Result<()> {
        self.context.check(self.io)?;
        let then = self.io.now() + LOOK_AGAIN;
        self.io.park(Some(self.context.deadline().map_or(then, |deadline| deadline.min(then))));
        Ok(())
    }

    pub(crate) fn read(&self, file: &Descriptor, buffer: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
        match offset {
            _ if buffer.is_empty() => Ok(0),
            Some(offset) => self.until_returned(|| Ok(rustix::io::pread(file, &mut *buffer, offset)?)),
            None => self.stream(file, Interest::Readable, |wait| {
                Ok(match wait {
                    SocketWait::Allowed => read(file, &mut *buffer)?,
                    SocketWait::Refused => {
                        preadv2(file, &mut [IoSliceMut::new(buffer)], POSITION, ReadWriteFlags::NOWAIT)?
                    }
                })
            }),
        }
    }

    pub(crate) fn read_vectored(
        &self,
        file: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        let count = buffers.len().min(BUFFERS_MAX);
        let buffers = &mut buffers[..count];
        match offset {
            Some(offset) => self.until_returned(|| Ok(rustix::io::preadv(file, buffers, offset)?)),
            None => self.stream(file, Interest::Readable, |wait| {
                Ok(match wait {
                    SocketWait::Allowed => readv(file, buffers)?,
                    SocketWait::Refused => preadv2(file, buffers, POSITION, ReadWriteFlags::NOWAIT)?,
                })
            }),
        }
    }

    pub(crate) fn write(&self, file: &Descriptor, buffer: &[u8], offset: Option<u64>) -> io::Result<usize> {
        match offset {
            _ if buffer.is_empty() => Ok(0),
            Some(offset) => self.until_returned(|| Ok(rustix::io::pwrite(file, buffer, offset)?)),
            None if is_always_ready(file)? => self.until_returned(|| Ok(write(file, buffer)?)),
            None => self.write_stream(file, &[IoSlice::new(buffer)], buffer),
        }
    }

    pub(crate) fn write_vectored(
        &self,
        file: &Descriptor,
        buffers: &[IoSlice<'_>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        let Some(first) = buffers.iter().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let buffers = &buffers[..buffers.len().min(BUFFERS_MAX)];
        match offset {
            Some(offset) => self.until_returned(|| Ok(rustix::io::pwritev(file, buffers, offset)?)),
            None if is_always_ready(file)? => self.until_returned(|| Ok(writev(file, buffers)?)),
            None => self.write_stream(file, buffers, first),
        }
    }

    /// Writes as much as there is room for, and waits for room if there is none.
    fn write_stream(&self, file: &Descriptor, buffers: &[IoSlice<'_>], first: &[u8]) -> io::Result<usize> {
        // This much fits whenever there is any room.
        let few = &first[..first.len().min(PIPE_BYTES)];
        self.stream(file, Interest::Writable, |wait| match pwritev2(file, buffers, POSITION, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN | Errno::OPNOTSUPP) if wait == SocketWait::Allowed => Ok(write(file, few)?),
            result => Ok(result?),
        })
    }

    /// Reads or writes at the position of a file that may be a pipe, a socket, a terminal or a file on a disk.
    fn stream(
        &self,
        file: &Descriptor,
        interest: Interest,
        mut attempt: impl FnMut(SocketWait) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let result = if self.context.deadline().is_some() && is_always_ready(file)? {
            self.until_returned(|| attempt(SocketWait::Allowed)).map(Some)
        } else {
            match self.until_done(file, interest, &mut attempt) {
                Err(error) if is_unsupported(&error) => {
                    self.until_called(file, interest, || attempt(SocketWait::Allowed))
                }
                result => result,
            }
        };
        result.map(Option::unwrap_or_default)
    }

    pub(crate) fn splice(
        &self,
        from: &Descriptor,
        from_offset: Option<u64>,
        to: &Descriptor,
        bytes: usize,
    ) -> io::Result<usize> {
        let mut rounds = Rounds::between(from, to);
        loop {
            match interruptible(|| try_splice(from, from_offset, to, bytes, DiskWait::Allowed)) {
                Ok(Spliced::Moved(count)) => return Ok(count),
                Ok(Spliced::NotReady(_, interest) | Spliced::OnDisk(_, interest)) => {
                    if !self.next_round(&mut rounds, interest)? {
                        return Ok(0);
                    }
                }
                Ok(Spliced::NotInMemory) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.context.check(self.io)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Calls until it is done: with one blocking call or, under a deadline and on a non-blocking descriptor, with
    /// attempts between which it waits for the descriptor. Returns `None` if no attempt can succeed any more.
    fn until_done<T>(
        &self,
        descriptor: &Descriptor,
        interest: Interest,
        mut call: impl FnMut(SocketWait) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.until_tried(descriptor, interest, || match self.context.deadline() {
            None => interruptible(|| call(SocketWait::Allowed)),
            Some(_) => call(SocketWait::Refused),
        })
    }

    /// Repeats the attempt until it succeeds, and waits for the descriptor whenever it would block. Returns `None` in
    /// the same case as `until_done`.
    fn until_tried<T>(
        &self,
        descriptor: &Descriptor,
        interest: Interest,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let mut rounds = Rounds::new(descriptor, interest);
        loop {
            // A request may have interrupted the last attempt or ended the wait.
            self.context.check(self.io)?;
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.next_round(&mut rounds, interest)? {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(Some),
            }
        }
    }

    /// Does what is needed between an attempt that would block and the next one. Returns false if there is no next one.
    fn next_round(&self, rounds: &mut Rounds<'_>, interest: Interest) -> io::Result<bool> {
        match rounds.next(interest)? {
            Round::Wait(descriptor, interest) => _ = self.wait(descriptor, interest)?,
            Round::Again => self.context.check(self.io)?,
            Round::Later => self.look_again()?,
            Round::Over => return Ok(false),
        }
        Ok(true)
    }

    /// Repeats a call until it returns without an interruption. For calls that wait for no descriptor.
    fn until_returned<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            self.context.check(self.io)?;
            let result = match self.context.deadline() {
                None => interruptible(&mut call),
                // If there is no timer, only a request ends the call.
                Some(deadline) => interruptible_until(deadline, &mut call).unwrap_or_else(|| interruptible(&mut call)),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Works like [`until_done`](Self::until_done), for calls that have no flag against blocking.
    fn until_called<T>(
        &self,
        descriptor: &Descriptor,
        interest: Interest,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.until_tried(descriptor, interest, || {
            let Some(deadline) = self.context.deadline() else { return interruptible(&mut call) };
            interruptible_until(deadline, &mut call).unwrap_or_else(|| {
                // If there is no timer, the deadline ends only the wait for the descriptor.
                let is_ready = wait_ready(descriptor.as_fd(), interest, Some(deadline))?;
                if is_ready { interruptible(&mut call) } else { Err(io::ErrorKind::Interrupted.into()) }
            })
        })
    }

    /// Waits until the descriptor is ready, or something else happens. A request that arrives between the check and the
    /// wait has left its token, so the wait returns at once.
    fn wait(&self, descriptor: &Descriptor, interest: Interest) -> io::Result<bool> {
        self.context.check(self.io)?;
        wait_ready(descriptor.as_fd(), interest, self.context.deadline())
    }
}

/// Returns true if the descriptor cannot be tried without blocking. Terminals cannot.
fn is_unsupported(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::OPNOTSUPP)
}

/// Returns true if calls on the descriptor fail instead of waiting.
fn is_nonblocking(descriptor: &Descriptor) -> io::Result<bool> {
    Ok(fcntl_getfl(descriptor)?.contains(OFlags::NONBLOCK))
}

/// Returns true if reading and writing wait only for the disk.
fn is_always_ready(file: &Descriptor) -> io::Result<bool> {
    Ok(matches!(file_type(file)?, FileType::RegularFile | FileType::Directory | FileType::BlockDevice))
}
