//! An `Io` on which things go wrong, at random from a seed.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use rustix::fs::{OFlags, fcntl_getfl};

use super::errors::error_of;
use super::faults::{Dice, Faults, Injected, Share, When};
use crate::cancel::Canceled;
use crate::context;
use crate::descriptor::Descriptor;
use crate::net::{SocketType, option};
use crate::primitive::Lock;
use crate::runnable::{ConcurrencyUnavailable, Refused, SpawnErrorKind, SpawnMode, Start};
use crate::{
    Backend, Instant, Io,
    decorator::Decorator,
    operation::{Operation, Output},
};

/// Another `Io`, on which things go wrong as often as [`Faults`] say, at random from a seed. It keeps every promise of the
/// vocabulary: it injects only faults that a program has to expect of a system that works.
///
/// The same seed brings the same faults, at the same calls, to a program in which one task at a time
/// makes calls. If several tasks do, they share the dice in the order of their calls. Only the clock decides
/// whether a sleep ends before it can be canceled.
///
/// Multishot operations ([`incoming`](crate::net::TcpListener::incoming)) are performed as single operations, so
/// that each can go wrong.
///
/// A test runs its program with many seeds and checks each time whether anything was lost. It prints the seed
/// before each run: the last seed that it prints before it fails is the one with which to repeat the run.
///
/// ```no_run
/// use std::io;
/// use std::sync::Arc;
///
/// use iolite_io::net::{TcpListener, TcpStream};
/// use iolite_io::testing::{Faults, Faulty};
/// use iolite_io::{Incomplete, Io};
///
/// fn hello(io: &dyn Io, stream: &TcpStream) -> io::Result<()> {
///     stream.write_all(io, b"hello, world")
/// }
///
/// fn what_was_counted_has_arrived(io: &Arc<dyn Io>, address: &str) {
///     for seed in 0..1_000 {
///         println!("seed {seed}");
///         let faulty = Faulty::new(io.clone(), seed, Faults::new().errors(0.1).short_counts(0.5));
///         let listener = TcpListener::bind(&**io, address).unwrap();
///         let stream = TcpStream::connect(&**io, address).unwrap();
///         let (peer, _) = listener.accept(&**io).unwrap();
///         let sent = match hello(&*faulty, &stream) {
///             Ok(()) => 12,
///             Err(error) => Incomplete::count_of(&error),
///         };
///         drop(stream);
///         let mut received = Vec::new();
///         io::Read::read_to_end(&mut peer.with(&**io), &mut received).unwrap();
///         assert_eq!(received, b"hello, world"[..sent]);
///     }
/// }
/// ```
pub struct Faulty {
    io: Arc<dyn Io>,
    seed: u64,
    dice: Lock<Dice>,
    this: Weak<Self>,
}

impl Faulty {
    /// Makes an `Io` that injects faults into calls of `io`, also into those of the tasks that are started through it.
    pub fn new(io: Arc<dyn Io>, seed: u64, faults: Faults) -> Arc<Self> {
        Arc::new_cyclic(|this| Self { io, seed, dice: Lock::new(Dice::new(seed, faults)), this: this.clone() })
    }

    /// Returns the seed, with which a run can be repeated.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the number of faults so far.
    pub fn injected(&self) -> Injected {
        self.dice.lock().injected()
    }

    fn count(&self, count: impl FnOnce(&mut Injected) -> &mut usize) {
        self.dice.lock().count(count);
    }

    /// Requests cancellation of the running task, if there is one.
    fn cancel(&self) {
        if context::current(|context| context.request()) {
            self.count(|injected| &mut injected.cancellations);
        }
    }

    /// Performs an operation on a share of the bytes or messages that the program asks for, if the operation is divisible.
    fn operate_short(&self, operation: Operation<'_>, share: Share) -> io::Result<Output> {
        if !self.is_divisible(&operation)? {
            return self.io.operate(operation);
        }
        self.count(|injected| &mut injected.short_counts);
        match operation {
            Operation::Receive { socket, buffer, peek } => {
                let buffer = first_mut(buffer, share);
                self.io.operate(Operation::Receive { socket, buffer, peek })
            }
            Operation::ReceiveMessage { socket, buffers, peek, descriptors_max } => {
                let Some(buffer) = buffers.iter_mut().find(|buffer| !buffer.is_empty()) else {
                    unreachable!("divisible")
                };
                let mut buffers = [IoSliceMut::new(first_mut(buffer, share))];
                self.io.operate(Operation::ReceiveMessage { socket, buffers: &mut buffers, peek, descriptors_max })
            }
            Operation::ReceiveMany { socket, messages } => {
                let messages = first_mut(messages, share);
                self.io.operate(Operation::ReceiveMany { socket, messages })
            }
            Operation::Send { socket, buffer, all } => {
                let buffer = first(buffer, share);
                self.io.operate(Operation::Send { socket, buffer, all })
            }
            Operation::SendMessage { socket, buffers, to, descriptors } => {
                let Some(buffer) = buffers.iter().find(|buffer| !buffer.is_empty()) else { unreachable!("divisible") };
                let buffers = [IoSlice::new(first(buffer, share))];
                self.io.operate(Operation::SendMessage { socket, buffers: &buffers, to, descriptors })
            }
            Operation::SendMany { socket, messages } => {
                let messages = first(messages, share);
                self.io.operate(Operation::SendMany { socket, messages })
            }
            Operation::Read { file, buffer, memory, offset } => {
                let buffer = first_mut(buffer, share);
                self.io.operate(Operation::Read { file, buffer, memory, offset })
            }
            Operation::Write { file, buffer, memory, offset } => {
                let buffer = first(buffer, share);
                self.io.operate(Operation::Write { file, buffer, memory, offset })
            }
            Operation::Splice { from, from_offset, to, bytes } => {
                let bytes = share.of(bytes);
                self.io.operate(Operation::Splice { from, from_offset, to, bytes })
            }
            // Not divisible.
            other => self.io.operate(other),
        }
    }

    /// Returns true if an operation can be performed on a part of its bytes or messages without losing the rest.
    fn is_divisible(&self, operation: &Operation<'_>) -> io::Result<bool> {
        Ok(match operation {
            Operation::Receive { socket, buffer, .. } => buffer.len() > 1 && self.is_stream(socket)?,
            Operation::ReceiveMessage { socket, buffers, .. } => {
                buffers.iter().map(|buffer| buffer.len()).sum::<usize>() > 1 && self.is_stream(socket)?
            }
            Operation::Send { socket, buffer, .. } => buffer.len() > 1 && self.is_stream(socket)?,
            Operation::SendMessage { socket, buffers, .. } => {
                buffers.iter().map(|buffer| buffer.len()).sum::<usize>() > 1 && self.is_stream(socket)?
            }
            Operation::ReceiveMany { messages, .. } => messages.len() > 1,
            Operation::SendMany { messages, .. } => messages.len() > 1,
            Operation::Read { file, buffer, .. } => buffer.len() > 1 && takes_any_length(file),
            Operation::Write { file, buffer, .. } => buffer.len() > 1 && takes_any_length(file),
            Operation::Splice { from, to, bytes, .. } => *bytes > 1 && takes_any_length(from) && takes_any_length(to),
            Operation::Accept { .. }
            | Operation::Connect { .. }
            | Operation::Ready { .. }
            | Operation::SendZeroCopy { .. }
            | Operation::Attempt(_)
            | Operation::Resolve { .. }
            | Operation::Open { .. }
            | Operation::ReadVectored { .. }
            | Operation::WriteVectored { .. }
            | Operation::Sync { .. }
            | Operation::File(_)
            | Operation::Offload { .. }
            | Operation::Spawn { .. }
            | Operation::Native { .. }
            | Operation::Close { .. }
            | Operation::Nop
            | Operation::Socket { .. }
            | Operation::SocketPair { .. }
            | Operation::Bind { .. }
            | Operation::Listen { .. }
            | Operation::Shutdown { .. }
            | Operation::SetOption { .. }
            | Operation::GetOption { .. }
            | Operation::LocalAddress { .. }
            | Operation::PeerAddress { .. }
            | Operation::Seek { .. } => false,
        })
    }

    /// Returns true if a socket carries bytes, and not messages, of which the part without room is lost.
    fn is_stream(&self, socket: &Descriptor) -> io::Result<bool> {
        let name = option::TYPE.name();
        match self.io.operate(Operation::GetOption { socket, name }).and_then(Output::option) {
            Ok(value) => Ok(option::TYPE.decode(&value)? == SocketType::STREAM),
            Err(error) if Canceled::is_in(&error) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Returns true if a descriptor reads and writes any number of bytes: files with `O_DIRECT` do not, nor do such pipes.
fn takes_any_length(descriptor: &Descriptor) -> bool {
    fcntl_getfl(descriptor.as_fd()).is_ok_and(|flags| !flags.contains(OFlags::DIRECT))
}

fn first<T>(items: &[T], share: Share) -> &[T] {
    &items[..share.of(items.len())]
}

fn first_mut<T>(items: &mut [T], share: Share) -> &mut [T] {
    let count = share.of(items.len());
    &mut items[..count]
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("io", &self.io).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Decorator for Faulty {
    fn inner(&self) -> &dyn Io {
        &*self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }

    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        if !self.dice.lock().start() {
            return self.io.start(start, how);
        }
        self.count(|injected| &mut injected.refusals);
        let unavailable = ConcurrencyUnavailable::limit_reached("concurrent_limit of a test with faults", 0);
        Err(Refused { start, kind: SpawnErrorKind::ConcurrencyUnavailable(unavailable) })
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        let fate = self.dice.lock().operation(&operation);
        if fate.cancellation == Some(When::Before) {
            self.cancel();
        }
        if let Some(delay) = fate.delay {
            self.count(|injected| &mut injected.delays);
            self.io.sleep(delay)?;
        }
        if let Some(number) = fate.error {
            context::current(|context| context.check(self))?;
            self.count(|injected| &mut injected.errors);
            return Err(error_of(&operation, number));
        }
        let output = match fate.share {
            Some(share) => self.operate_short(operation, share),
            None => self.io.operate(operation),
        }?;
        if fate.cancellation == Some(When::Meanwhile) {
            self.cancel();
        }
        Ok(output)
    }

    fn park(&self, deadline: Option<Instant>) {
        if self.dice.lock().wait(deadline) {
            // The waiter looks for requests each time it wakes.
            return self.cancel();
        }
        self.io.park(deadline);
    }

    fn backend(&self) -> Backend {
        let mut backend = self.io.backend();
        backend.detail += &format!("; faulty: seed {}", self.seed);
        backend
    }
}
