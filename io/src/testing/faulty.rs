//! An `Io` on which things go wrong, as a seed says.

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

/// Another `Io`, on which things go wrong as [`Faults`] and a seed say. It keeps every promise of the
/// vocabulary: what goes wrong is what a program has to expect of a system that works.
///
/// The same seed brings the same faults, at the same calls, to a program in which one task at a time
/// makes them. Where several do, they share the dice in the order in which they come. Only the clock decides
/// whether a sleep is over before it can be canceled.
///
/// What answers many times ([`incoming`](crate::net::TcpListener::incoming)) is performed as single operations, so
/// that each can go wrong.
///
/// A test runs its program with many seeds and asks each time whether anything was lost. It prints the seed in
/// front of each run: what stands there when it fails is the seed with which to repeat the run.
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
    /// Puts faults around `io`, for it and for the tasks that are started through it.
    pub fn new(io: Arc<dyn Io>, seed: u64, faults: Faults) -> Arc<Self> {
        Arc::new_cyclic(|this| Self { io, seed, dice: Lock::new(Dice::new(seed, faults)), this: this.clone() })
    }

    /// The seed, with which to repeat what happened.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many faults there were so far.
    pub fn injected(&self) -> Injected {
        self.dice.lock().injected()
    }

    fn count(&self, count: impl FnOnce(&mut Injected) -> &mut usize) {
        self.dice.lock().count(count);
    }

    /// Asks the running task to stop, if there is one.
    fn cancel(&self) {
        if context::current(|context| context.request()) {
            self.count(|injected| &mut injected.cancellations);
        }
    }

    /// Performs an operation that is asked for a share of what the program asks it for, where it can be.
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
            other => self.io.operate(other),
        }
    }

    /// Whether an operation can be asked for a part of what it is asked for, without losing the rest.
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
            _ => false,
        })
    }

    /// Whether a socket carries bytes, and not messages, of which a part is lost when it is not asked for.
    fn is_stream(&self, socket: &Descriptor) -> io::Result<bool> {
        let name = option::TYPE.name();
        match self.io.operate(Operation::GetOption { socket, name }).and_then(Output::option) {
            Ok(value) => Ok(option::TYPE.decode(&value)? == SocketType::STREAM),
            Err(error) if Canceled::is_in(&error) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Whether what a descriptor reads and writes has no boundaries: files have with `O_DIRECT`, and so have pipes.
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
            // Who waits looks for requests each time it wakes.
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
