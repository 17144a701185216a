//! Operations as system calls on the calling thread.
//!
//! None blocks where a request could not reach it: sockets are tried with `MSG_DONTWAIT` and pipes with
//! `RWF_NOWAIT`, whatever their mode, and waited for in `ppoll`; what has no such flag is tried in the ways of
//! [`try_read`], and a listener, which may be a blocking one of somebody else, is waited for first.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::time::Duration;

use iolite_io::backend::{
    self, Context, DiskWait, Interest, Round, Rounds, Spliced, address_from_kernel, begin_connect, finish_connect,
    perform_quick, try_read, try_receive_many, try_receive_message, try_send_many, try_send_message, try_splice,
    try_write, wait_ready,
};
use iolite_io::net::{Address, UnixAddress};
use iolite_io::{Canceled, Descriptor, Io, Operation, Output, ShutDown};
use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, retry_on_intr};
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags};

use crate::fiber;
use crate::runtime::Runtime;

/// How soon to look again for what nothing can wait for: room in the queue of a Unix socket that the
/// own one is not connected to.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How many buffers a vectored call takes (`UIO_MAXIOV`).
const BUFFERS_MAX: usize = 1024;

/// Stands for the file's own position, as an offset.
const POSITION: u64 = u64::MAX;

pub(crate) fn operate(runtime: &Runtime, operation: Operation<'_>) -> io::Result<Output> {
    backend::current(|context| {
        context.check_operation(runtime)?;
        if runtime.pool.is_over() {
            return Err(ShutDown.into());
        }
        match perform_quick(operation) {
            Ok(result) => result,
            Err(Operation::Resolve { host, port }) => {
                runtime.lookups.resolve(runtime, host, port).map(Output::Addresses)
            }
            Err(operation) if context.is_thread() => Caller { io: runtime, context }.perform(operation),
            Err(operation) => fiber::operate(runtime, context, operation),
        }
    })
}

/// The calling thread, as a context of the vocabulary.
struct Caller<'a> {
    io: &'a dyn Io,
    context: &'a Context,
}

impl Caller<'_> {
    fn perform(&self, operation: Operation<'_>) -> io::Result<Output> {
        match operation {
            Operation::Accept { listener } => self.accept(listener),
            Operation::Connect { socket, address } => self.connect(socket, address).map(|()| Output::Done),
            Operation::Ready { descriptor, interest } => self.ready(descriptor, interest).map(|()| Output::Done),
            Operation::Receive { socket, buffer, peek } => self.receive(socket, buffer, peek).map(Output::Count),
            Operation::ReceiveMessage { socket, buffers, peek, descriptors_max } => {
                let attempt = || try_receive_message(socket, buffers, peek, descriptors_max);
                self.until_done(socket, Interest::Readable, attempt)
                    .map(Option::unwrap_or_default)
                    .map(Output::Received)
            }
            Operation::ReceiveMany { socket, messages } => {
                let attempt = || try_receive_many(socket, messages);
                self.until_done(socket, Interest::Readable, attempt).map(Option::unwrap_or_default).map(Output::Count)
            }
            Operation::Send { socket, buffer, all } => self.send(socket, buffer, all).map(Output::Count),
            Operation::SendMessage { socket, buffers, to, descriptors } => {
                let attempt = || Ok(try_send_message(socket, buffers, to, descriptors)?);
                self.until_sent(socket, to, attempt).map(Output::Count)
            }
            Operation::SendMany { socket, messages } => {
                let to = messages.first().and_then(|message| message.to.as_ref());
                self.until_sent(socket, to, || try_send_many(socket, messages)).map(Output::Count)
            }
            Operation::SendZeroCopy { socket, bytes, from } => {
                self.send(socket, bytes.rest(from), true).map(Output::Count)
            }
            Operation::Open { at, options } => backend::open_file(at, options).map(Output::Opened),
            Operation::Read { file, buffer, offset, .. } => self.read(file, buffer, offset).map(Output::Count),
            Operation::Write { file, buffer, offset, .. } => self.write(file, buffer, offset).map(Output::Count),
            Operation::ReadVectored { file, buffers, offset } => {
                self.read_vectored(file, buffers, offset).map(Output::Count)
            }
            Operation::WriteVectored { file, buffers, offset } => {
                self.write_vectored(file, buffers, offset).map(Output::Count)
            }
            Operation::File(operation) => backend::perform_file(operation),
            Operation::Offload { job } => {
                self.io.protect(|_| job.run());
                Ok(Output::Done)
            }
            Operation::Splice { from, from_offset, to, bytes } => {
                self.splice(from, from_offset, to, bytes).map(Output::Count)
            }
            Operation::Sync { file, data_only: true } => done(retry_on_intr(|| rustix::fs::fdatasync(file))),
            Operation::Sync { file, data_only: false } => done(retry_on_intr(|| rustix::fs::fsync(file))),
            Operation::Spawn { command } => Ok(Output::Spawned(backend::spawn_program(self.io, command)?.into())),
            Operation::Close { descriptor } => backend::close(descriptor).map(|()| Output::Done),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "threaded does not know this operation")),
        }
    }

    fn accept(&self, listener: &Descriptor) -> io::Result<Output> {
        // Waited for first: the listener may be a blocking one from elsewhere.
        let (socket, address) = self
            .when_ready(listener, Interest::Readable, || net::acceptfrom_with(listener, SocketFlags::CLOEXEC))?
            // What a call that waits says of a listener that was shut down.
            .ok_or(Errno::INVAL)?;
        let peer = address.map(address_from_kernel).transpose()?;
        Ok(Output::Accepted(socket.into(), peer.unwrap_or(Address::Unix(UnixAddress::unnamed()))))
    }

    fn connect(&self, socket: &Descriptor, address: &Address) -> io::Result<()> {
        loop {
            match begin_connect(socket, address) {
                Ok(()) => return Ok(()),
                Err(Errno::AGAIN) if matches!(address, Address::Unix(_)) => self.look_again()?,
                // Interrupted, it goes on in the kernel just as well.
                Err(Errno::INPROGRESS | Errno::INTR) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.until_done(socket, Interest::Writable, || finish_connect(socket)).map(Option::unwrap_or_default)
    }

    fn ready(&self, descriptor: &Descriptor, interest: Interest) -> io::Result<()> {
        while !self.wait(descriptor, interest)? {}
        Ok(())
    }

    fn receive(&self, socket: &Descriptor, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let flags = if peek { RecvFlags::DONTWAIT | RecvFlags::PEEK } else { RecvFlags::DONTWAIT };
        let attempt = || Ok(net::recv(socket, &mut *buffer, flags)?.0);
        self.until_done(socket, Interest::Readable, attempt).map(Option::unwrap_or_default)
    }

    fn send(&self, socket: &Descriptor, buffer: &[u8], all: bool) -> io::Result<usize> {
        let mut sent = 0;
        while sent < buffer.len() {
            let rest = &buffer[sent..];
            match self.until_done(socket, Interest::Writable, || Ok(net::send(socket, rest, send_flags())?)) {
                Ok(count) => sent += count.unwrap_or_default(),
                Err(error) if sent == 0 => return Err(error),
                Err(error) => {
                    // Progress wins: the request stays pending, another error comes again.
                    if let Ok(canceled) = Canceled::from_error(error) {
                        self.context.recancel(canceled);
                    }
                    break;
                }
            }
            if !all {
                break;
            }
        }
        Ok(sent)
    }

    /// Attempts to send until it succeeds. For room in the queue of another Unix socket nothing can wait.
    fn until_sent(
        &self,
        socket: &Descriptor,
        to: Option<&Address>,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !matches!(to, Some(Address::Unix(_))) {
            return self.until_done(socket, Interest::Writable, attempt).map(Option::unwrap_or_default);
        }
        loop {
            match attempt() {
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

    fn read(&self, file: &Descriptor, buffer: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(offset) = offset {
            return Ok(retry_on_intr(|| rustix::io::pread(file, &mut *buffer, offset))?);
        }
        if is_always_ready(file)? {
            return Ok(retry_on_intr(|| rustix::io::read(file, &mut *buffer))?);
        }
        let attempt = || Ok(preadv2(file, &mut [IoSliceMut::new(buffer)], POSITION, ReadWriteFlags::NOWAIT)?);
        match self.until_done(file, Interest::Readable, attempt) {
            Err(error) if is_unsupported(&error) => {
                let attempt = || Ok(try_read(file, &mut [IoSliceMut::new(buffer)])?);
                self.until_done(file, Interest::Readable, attempt).map(Option::unwrap_or_default)
            }
            result => result.map(Option::unwrap_or_default),
        }
    }

    fn write(&self, file: &Descriptor, buffer: &[u8], offset: Option<u64>) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(offset) = offset {
            return Ok(retry_on_intr(|| rustix::io::pwrite(file, buffer, offset))?);
        }
        if is_always_ready(file)? {
            return Ok(retry_on_intr(|| rustix::io::write(file, buffer))?);
        }
        let attempt = || Ok(pwritev2(file, &[IoSlice::new(buffer)], POSITION, ReadWriteFlags::NOWAIT)?);
        match self.until_done(file, Interest::Writable, attempt) {
            Err(error) if is_unsupported(&error) => {
                let attempt = || Ok(try_write(file, &[IoSlice::new(buffer)])?);
                self.until_done(file, Interest::Writable, attempt).map(Option::unwrap_or_default)
            }
            result => result.map(Option::unwrap_or_default),
        }
    }

    fn read_vectored(
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
        if let Some(offset) = offset {
            return Ok(retry_on_intr(|| rustix::io::preadv(file, buffers, offset))?);
        }
        if is_always_ready(file)? {
            return Ok(retry_on_intr(|| rustix::io::readv(file, buffers))?);
        }
        let attempt = || Ok(try_read(file, buffers)?);
        self.until_done(file, Interest::Readable, attempt).map(Option::unwrap_or_default)
    }

    fn write_vectored(&self, file: &Descriptor, buffers: &[IoSlice<'_>], offset: Option<u64>) -> io::Result<usize> {
        let Some(first) = buffers.iter().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let all = &buffers[..buffers.len().min(BUFFERS_MAX)];
        if let Some(offset) = offset {
            return Ok(retry_on_intr(|| rustix::io::pwritev(file, all, offset))?);
        }
        if is_always_ready(file)? {
            return Ok(retry_on_intr(|| rustix::io::writev(file, all))?);
        }
        self.write(file, first, None)
    }

    fn splice(&self, from: &Descriptor, from_offset: Option<u64>, to: &Descriptor, bytes: usize) -> io::Result<usize> {
        let mut rounds = Rounds::between(from, to);
        loop {
            match try_splice(from, from_offset, to, bytes, DiskWait::Allowed)? {
                Spliced::Moved(count) => return Ok(count),
                Spliced::NotReady(_, interest) | Spliced::OnDisk(_, interest) => {
                    if !self.next_round(&mut rounds, interest)? {
                        return Ok(0);
                    }
                }
            }
        }
    }

    /// Attempts until it succeeds, waiting for the descriptor whenever it would block; `None` when nothing can come of
    /// that any more.
    fn until_done<T>(
        &self,
        descriptor: &Descriptor,
        interest: Interest,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let mut rounds = Rounds::new(descriptor, interest);
        loop {
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

    /// What is between an attempt that would block and the next one; `false` when there is no next one.
    fn next_round(&self, rounds: &mut Rounds<'_>, interest: Interest) -> io::Result<bool> {
        match rounds.next(interest)? {
            Round::Wait(descriptor, interest) => _ = self.wait(descriptor, interest)?,
            Round::Again => self.context.check(self.io)?,
            Round::Later => self.look_again()?,
            Round::Over => return Ok(false),
        }
        Ok(true)
    }

    /// As [`until_done`](Self::until_done), for attempts that may block unless the descriptor is
    /// ready.
    fn when_ready<T>(
        &self,
        descriptor: &Descriptor,
        interest: Interest,
        mut attempt: impl FnMut() -> rustix::io::Result<T>,
    ) -> io::Result<Option<T>> {
        let mut rounds = Rounds::new(descriptor, interest);
        loop {
            if self.wait(descriptor, interest)? {
                match attempt() {
                    Ok(value) => return Ok(Some(value)),
                    // Somebody else was faster, or it is said to be ready for good.
                    Err(Errno::AGAIN) => {
                        if !self.next_round(&mut rounds, interest)? {
                            return Ok(None);
                        }
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Waits until the descriptor is ready, or something else happens. A request that arrives
    /// between the check and the wait has left its token, so that the wait returns at once.
    fn wait(&self, descriptor: &Descriptor, interest: Interest) -> io::Result<bool> {
        self.context.check(self.io)?;
        wait_ready(descriptor.as_fd(), interest, self.context.deadline())
    }
}

/// Whether the descriptor has no way to be tried without blocking. Terminals have none.
fn is_unsupported(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::OPNOTSUPP)
}

fn send_flags() -> SendFlags {
    SendFlags::DONTWAIT | SendFlags::NOSIGNAL
}

/// Whether reading and writing never wait for anybody but the disk.
fn is_always_ready(file: &Descriptor) -> io::Result<bool> {
    let mode = rustix::fs::fstat(file)?.st_mode;
    Ok(matches!(FileType::from_raw_mode(mode), FileType::RegularFile | FileType::Directory | FileType::BlockDevice))
}

fn done(result: rustix::io::Result<()>) -> io::Result<Output> {
    Ok(result.map(|()| Output::Done)?)
}
