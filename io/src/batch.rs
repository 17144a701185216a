//! Operations that are under way together.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;

use crate::Io;
use crate::cancel::Canceled;
use crate::context;
use crate::descriptor::Descriptor;
use crate::group::{Group, run_to_end};
use crate::join_set::{Pending, Results};
use crate::net::Message;
use crate::operation::{Attempt, Operation, Output};
use crate::primitive::Lock;
use crate::runnable::{Parcel, SpawnErrorKind, SpawnMode};
use crate::task::{Body, TaskIo};

/// Operations that are under way together and complete in any order; from [`io.batch`](crate::Io#method.batch).
///
/// Each has an index, which is the caller's: into a table of what the operations are about. It comes back in the
/// [`BatchCompletion`], with what the operation had borrowed, and can be used again at once.
pub struct Batch<'scope, 'env> {
    group: Group<'scope, 'env>,
    results: Arc<Results<BatchCompletion<'scope>>>,
    /// What nobody has begun.
    added: Lock<VecDeque<(usize, Added<'scope>)>>,
}

/// How an operation of a [`Batch`] ended.
#[derive(Debug)]
pub struct BatchCompletion<'a> {
    /// The index with which it was added.
    pub index: usize,
    /// What it came to.
    pub result: io::Result<Output>,
    /// What it had borrowed for itself alone.
    pub lent: Buffers<'a>,
}

/// What an operation has borrowed for itself alone, and gives back, whole and however it ended.
///
/// Only the end of the scope gives back what an operation that was [added](Batch::add) as data reads from, such as
/// the buffer of [`Operation::Write`]: it may be shared, so nobody can tell when it is free. What is to be read into
/// again is written with [`add_write`](Batch::add_write) or [`add_send`](Batch::add_send). Nor do these come back
/// sooner: the places of an [`Operation::File`], the command of [`Operation::Spawn`], the closure of
/// [`Operation::Offload`], and what an [`Operation::Native`] is about.
#[derive(Debug)]
#[non_exhaustive]
pub enum Buffers<'a> {
    /// Nothing that comes back before the end of the scope.
    Nothing,
    /// The buffer of [`Operation::Read`], [`Operation::Receive`], [`Batch::add_write`] or [`Batch::add_send`].
    Buffer(&'a mut [u8]),
    /// The buffers of [`Operation::ReadVectored`] or [`Operation::ReceiveMessage`].
    Buffers(&'a mut [IoSliceMut<'a>]),
    /// The messages of [`Operation::ReceiveMany`].
    Messages(&'a mut [Message]),
}

impl fmt::Debug for Batch<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("added", &self.added.lock().len())
            .field("under_way", &self.group.len())
            .finish_non_exhaustive()
    }
}

impl<'scope> Batch<'scope, '_> {
    /// Adds an operation, which the next wait begins. Never waits.
    pub fn add(&self, index: usize, operation: Operation<'scope>) {
        self.push(index, Added::Operation(operation));
    }

    /// Adds an [`Operation::Write`] of the `bytes` of `buffer`, which comes back whole, as [`Buffers::Buffer`], and can
    /// be read into again. `offset` is in bytes; `None` for the file's position, which moves.
    ///
    /// Answered with [`Output::Count`], which may be short: the rest is to be added again.
    ///
    /// ```
    /// use iolite_io::fs::File;
    /// use iolite_io::{completion::{Batch, BatchCompletion, Buffers}, operation::Output};
    ///
    /// /// Goes on with what a read at `offset` has brought: the same buffer, the other way.
    /// fn write_back<'scope>(batch: &Batch<'scope, '_>, file: &'scope File, read: BatchCompletion<'scope>, offset: u64) {
    ///     if let (Ok(Output::Count(count)), Buffers::Buffer(buffer)) = (read.result, read.lent) {
    ///         batch.add_write(read.index, file.as_ref(), buffer, 0..count, Some(offset));
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// When `bytes` are not all in `buffer`.
    pub fn add_write(
        &self,
        index: usize,
        file: &'scope Descriptor,
        buffer: &'scope mut [u8],
        bytes: Range<usize>,
        offset: Option<u64>,
    ) {
        self.push(index, Added::Write { file, source: Source::new(buffer, bytes), offset });
    }

    /// Adds an [`Operation::Send`] of the `bytes` of `buffer`, which comes back whole, as [`Buffers::Buffer`], and can
    /// be received into again.
    ///
    /// Answered with [`Output::Count`]; short only when it ended early: the rest is to be added again.
    ///
    /// # Panics
    ///
    /// When `bytes` are not all in `buffer`.
    pub fn add_send(&self, index: usize, socket: &'scope Descriptor, buffer: &'scope mut [u8], bytes: Range<usize>) {
        self.push(index, Added::Send { socket, source: Source::new(buffer, bytes) });
    }

    fn push(&self, index: usize, added: Added<'scope>) {
        self.added.lock().push_back((index, added));
    }

    /// Begins what was added, and waits until something has completed, if anything can. Where no unit of
    /// concurrency is free, operations run one after the other, in the order in which they were added, on
    /// top of the caller; so this never fails for want of one.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; so is the timeout around it one for this wait and not for the operations: they
    /// stay under way. But one that runs on top of the caller ends with it, and completes with that error.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        io.check_cancel()?;
        if self.begin().is_err() && self.results.is_empty() {
            self.perform_first(io)?;
        }
        self.results.wait(io, 1)
    }

    /// Begins all that was added, at once, and waits until something has completed, if anything can.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, which leaves the operations under way; so does a timeout around it.
    ///
    /// # Errors
    ///
    /// [`Canceled`]; [`ConcurrencyUnavailable`](crate::error::ConcurrencyUnavailable) when there are fewer units of
    /// concurrency than operations: those that have not begun stay added.
    pub fn wait_concurrent(&self, io: &dyn Io) -> io::Result<()> {
        io.check_cancel()?;
        self.begin()?;
        Ok(self.results.wait(io, 1)?)
    }

    /// Takes the oldest completion. Never waits.
    pub fn next(&self) -> Option<BatchCompletion<'scope>> {
        self.results.take()
    }

    /// Whether nothing is added, under way or completed.
    pub fn is_empty(&self) -> bool {
        // Under one lock: what leaves `added`, or comes back, is pending meanwhile.
        let added = self.added.lock();
        added.is_empty() && self.results.is_empty()
    }

    /// Cancels everything, waits until nothing is under way, and returns what was canceled, with what it had
    /// borrowed. What had succeeded all the same stays for [`next`](Self::next). The batch can be used again.
    ///
    /// # Cancellation
    ///
    /// Not ended by a request: the caller's next cancellation point returns it.
    pub fn cancel(&self, io: &dyn Io) -> Vec<BatchCompletion<'scope>> {
        let added = std::mem::take(&mut *self.added.lock());
        self.group.cancel(io);
        let not_begun = added.into_iter().map(|(index, added)| BatchCompletion {
            index,
            result: Err(Canceled::requested().into()),
            lent: added.into_lent(),
        });
        let canceled = self.results.take_if(|completion| completion.is_canceled());
        canceled.into_iter().chain(not_begun).collect()
    }

    /// Begins what was added, as much of it as there are units of concurrency.
    fn begin(&self) -> Result<(), SpawnErrorKind> {
        context::current(|context| context.assert_may_suspend());
        while let Some(first) = self.take_added() {
            let body = Under { io: self.group.io().clone() };
            let mut parcel = Parcel::of(first);
            // No timeout passes to it: it outlives the wait that begins it.
            if let Err(kind) = self.group.start(SpawnMode::Concurrent, None, Vec::new(), body, &mut parcel) {
                let First { index, added, pending } = parcel.take();
                self.added.lock().push_front((index, added));
                drop(pending);
                return Err(kind);
            }
        }
        Ok(())
    }

    fn take_added(&self) -> Option<First<'scope>> {
        let mut queue = self.added.lock();
        let (index, added) = queue.pop_front()?;
        Some(First { index, added, pending: Pending::of(&self.results) })
    }

    /// Performs what was added first, on the calling context.
    fn perform_first(&self, io: &dyn Io) -> Result<(), Canceled> {
        let Some(First { index, added, pending }) = self.take_added() else { return Ok(()) };
        let mut completion = added.perform(io, index);
        // The caller's request, or its timeout's: it is the caller who is told.
        let mut canceled = Ok(());
        completion.result = completion.result.map_err(|error| match Canceled::from_error(error) {
            Ok(own) => {
                canceled = Err(own);
                Canceled::requested().into()
            }
            Err(error) => error,
        });
        pending.ended_with(completion);
        canceled
    }
}

impl BatchCompletion<'_> {
    /// Whether it was canceled before it came to anything.
    pub fn is_canceled(&self) -> bool {
        self.result.as_ref().is_err_and(Canceled::is_in)
    }
}

/// An operation that was added, with all that it has borrowed.
enum Added<'a> {
    /// As data.
    Operation(Operation<'a>),
    /// By [`Batch::add_write`].
    Write { file: &'a Descriptor, source: Source<'a>, offset: Option<u64> },
    /// By [`Batch::add_send`].
    Send { socket: &'a Descriptor, source: Source<'a> },
}

impl<'a> Added<'a> {
    /// Performs it and keeps what it had borrowed.
    fn perform(self, io: &dyn Io, index: usize) -> BatchCompletion<'a> {
        let (result, lent) = match self {
            Self::Operation(operation) => perform(io, operation),
            Self::Write { file, source, offset } => {
                let operation = Operation::Write { file, buffer: source.bytes(), memory: None, offset };
                (io.operate(operation), source.into_lent())
            }
            Self::Send { socket, source } => {
                let operation = Operation::Send { socket, buffer: source.bytes(), all: true };
                (io.operate(operation), source.into_lent())
            }
        };
        BatchCompletion { index, result, lent }
    }

    /// What it has borrowed, when it is not performed.
    fn into_lent(self) -> Buffers<'a> {
        match self {
            Self::Operation(operation) => Buffers::by(operation),
            Self::Write { source, .. } | Self::Send { source, .. } => source.into_lent(),
        }
    }
}

/// A buffer of which some bytes are written.
struct Source<'a> {
    buffer: &'a mut [u8],
    /// Within `buffer`.
    bytes: Range<usize>,
}

impl<'a> Source<'a> {
    fn new(buffer: &'a mut [u8], bytes: Range<usize>) -> Self {
        let length = buffer.len();
        assert!(bytes.start <= bytes.end && bytes.end <= length, "bytes {bytes:?} of a buffer of {length}");
        Self { buffer, bytes }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.bytes.clone()]
    }

    fn into_lent(self) -> Buffers<'a> {
        Buffers::Buffer(self.buffer)
    }
}

impl<'a> Buffers<'a> {
    /// What an operation that was not performed has borrowed.
    fn by(operation: Operation<'a>) -> Self {
        match operation {
            Operation::Read { buffer, .. }
            | Operation::Receive { buffer, .. }
            | Operation::Attempt(Attempt::Receive { buffer, .. }) => Self::Buffer(buffer),
            Operation::ReadVectored { buffers, .. }
            | Operation::ReceiveMessage { buffers, .. }
            | Operation::Attempt(Attempt::ReceiveMessage { buffers, .. }) => Self::Buffers(buffers),
            Operation::ReceiveMany { messages, .. } => Self::Messages(messages),
            // An operation that lends something has an arm here, and one in `perform`.
            Operation::Attempt(Attempt::Accept { .. } | Attempt::Send { .. } | Attempt::SendMessage { .. })
            | Operation::Accept { .. }
            | Operation::Connect { .. }
            | Operation::Ready { .. }
            | Operation::Send { .. }
            | Operation::SendMessage { .. }
            | Operation::SendMany { .. }
            | Operation::SendZeroCopy { .. }
            | Operation::Resolve { .. }
            | Operation::Open { .. }
            | Operation::Write { .. }
            | Operation::WriteVectored { .. }
            | Operation::Splice { .. }
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
            | Operation::Seek { .. } => Self::Nothing,
        }
    }
}

/// Performs an operation and keeps what it had borrowed.
fn perform<'a>(io: &dyn Io, operation: Operation<'a>) -> (io::Result<Output>, Buffers<'a>) {
    match operation {
        Operation::Read { file, buffer, memory, offset } => {
            let operation = Operation::Read { file, buffer: &mut *buffer, memory, offset };
            (io.operate(operation), Buffers::Buffer(buffer))
        }
        Operation::Receive { socket, buffer, peek } => {
            (io.operate(Operation::Receive { socket, buffer: &mut *buffer, peek }), Buffers::Buffer(buffer))
        }
        Operation::Attempt(Attempt::Receive { socket, buffer, peek }) => {
            let attempt = Attempt::Receive { socket, buffer: &mut *buffer, peek };
            (io.operate(Operation::Attempt(attempt)), Buffers::Buffer(buffer))
        }
        Operation::Attempt(Attempt::ReceiveMessage { socket, buffers, peek }) => {
            let mut again = reborrow(buffers);
            let attempt = Attempt::ReceiveMessage { socket, buffers: &mut again, peek };
            (io.operate(Operation::Attempt(attempt)), Buffers::Buffers(buffers))
        }
        Operation::ReadVectored { file, buffers, offset } => {
            let mut again = reborrow(buffers);
            (io.operate(Operation::ReadVectored { file, buffers: &mut again, offset }), Buffers::Buffers(buffers))
        }
        Operation::ReceiveMessage { socket, buffers, peek, descriptors_max } => {
            let mut again = reborrow(buffers);
            let operation = Operation::ReceiveMessage { socket, buffers: &mut again, peek, descriptors_max };
            (io.operate(operation), Buffers::Buffers(buffers))
        }
        Operation::ReceiveMany { socket, messages } => {
            (io.operate(Operation::ReceiveMany { socket, messages: &mut *messages }), Buffers::Messages(messages))
        }
        operation => (io.operate(operation), Buffers::Nothing),
    }
}

/// The same buffers, for a while.
fn reborrow<'a>(buffers: &'a mut [IoSliceMut<'_>]) -> Vec<IoSliceMut<'a>> {
    buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect()
}

/// What was added first, on its way: no more among what is added, and pending since.
struct First<'scope> {
    index: usize,
    added: Added<'scope>,
    pending: Pending<BatchCompletion<'scope>>,
}

/// The body of a task that performs one operation.
struct Under<'a> {
    io: TaskIo<'a>,
}

impl<'scope> Body<First<'scope>, ()> for Under<'_> {
    fn call(self, first: &mut Parcel<First<'scope>>) {
        let First { index, added, pending } = first.take();
        pending.ended_with(added.perform(&*self.io, index));
    }
}

impl<'io> dyn Io + 'io {
    /// Runs `body` with a batch of operations, then cancels those that are still under way, and returns when
    /// all have ended. The batch lends the buffers of its operations for that time.
    ///
    /// ```
    /// use iolite_io::{Io, fs::File, completion::Buffers, operation::{Operation, Output}};
    ///
    /// /// Reads pages of a file, eight at a time, in whatever order they come.
    /// fn checksum(io: &dyn Io, file: &File, pages: u64) -> std::io::Result<u64> {
    ///     let mut buffers = [[0; 4096]; 8];
    ///     io.batch(|batch| {
    ///         let (mut next, mut sum) = (0, 0);
    ///         let mut read = |index, buffer| {
    ///             if next < pages {
    ///                 let offset = Some(next * 4096);
    ///                 batch.add(index, Operation::Read { file: file.as_ref(), buffer, memory: None, offset });
    ///                 next += 1;
    ///             }
    ///         };
    ///         for (index, buffer) in buffers.iter_mut().enumerate() {
    ///             read(index, buffer);
    ///         }
    ///         while !batch.is_empty() {
    ///             batch.wait(io)?;
    ///             while let Some(completion) = batch.next() {
    ///                 if let (Output::Count(count), Buffers::Buffer(page)) = (completion.result?, completion.lent) {
    ///                     sum += page[..count].iter().map(|byte| u64::from(*byte)).sum::<u64>();
    ///                     read(completion.index, page);
    ///                 }
    ///             }
    ///         }
    ///         Ok(sum)
    ///     })
    /// }
    /// ```
    ///
    /// What was read is written from the same buffer by [`Batch::add_write`] or [`Batch::add_send`], and the buffer
    /// comes back once more: `examples/copy.rs` copies a file so.
    ///
    /// # Cancellation
    ///
    /// The final wait is not ended by a request to the caller, whose next cancellation point returns it.
    ///
    /// # Errors
    ///
    /// The body's.
    pub fn batch<'env, T, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope Batch<'scope, 'env>) -> Result<T, E>,
    ) -> Result<T, E> {
        run_scope(self, body)
    }
}

/// Runs `body` with a batch, then cancels what is left of it and waits.
fn run_scope<'env, T, E>(
    io: &'env (dyn Io + 'env),
    body: impl for<'scope> FnOnce(&'scope Batch<'scope, 'env>) -> Result<T, E>,
) -> Result<T, E> {
    let batch = Batch { group: Group::new(TaskIo::Borrowed(io)), results: Arc::default(), added: Lock::default() };
    let outcome = run_to_end(io, batch.group.shared(), || body(&batch), |_| true);
    batch.group.shared().or_panic(outcome)
}
