//! Batches of operations that are in flight together.

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

/// A set of operations that are in flight together and complete in any order; from
/// [`io.batch`](crate::Io#method.batch).
///
/// Each operation has an index that the caller chooses, for example into a table of what the operations are about. The
/// index comes back in the [`BatchCompletion`], together with the buffers that the operation had borrowed, and can be
/// reused at once.
pub struct Batch<'scope, 'env> {
    group: Group<'scope, 'env>,
    results: Arc<Results<BatchCompletion<'scope>>>,
    /// Operations that have not begun.
    added: Lock<VecDeque<(usize, Added<'scope>)>>,
}

/// A completed operation of a [`Batch`].
#[derive(Debug)]
pub struct BatchCompletion<'a> {
    /// The index with which it was added.
    pub index: usize,
    /// The result of the operation.
    pub result: io::Result<Output>,
    /// The buffers that it had exclusively borrowed.
    pub lent: Buffers<'a>,
}

/// The buffers that an operation had exclusively borrowed. It gives them back whole, however it ended.
///
/// If an operation was [added](Batch::add) as data, the memory that it reads from, such as the buffer of
/// [`Operation::Write`], is only given back by the end of the scope: it may be shared, so the batch cannot tell when it
/// is free. To reuse a buffer that is written, use [`add_write`](Batch::add_write) or [`add_send`](Batch::add_send).
/// The following also come back only at the end of the scope: the locations of an [`Operation::File`], the command of
/// [`Operation::Spawn`], the closure of [`Operation::Offload`], and the subject of an [`Operation::Native`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Buffers<'a> {
    /// No buffer comes back before the end of the scope.
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
    /// Adds an operation, which the next wait will begin. Never waits.
    pub fn add(&self, index: usize, operation: Operation<'scope>) {
        self.push(index, Added::Operation(operation));
    }

    /// Adds an [`Operation::Write`] of the `bytes` of `buffer`. The buffer comes back whole, as [`Buffers::Buffer`],
    /// and can be used for reads again. `offset` is in bytes; `None` stands for the position of the file, which moves.
    ///
    /// The result is [`Output::Count`], which may be short; in that case add the rest again.
    ///
    /// ```
    /// use iolite_io::fs::File;
    /// use iolite_io::{completion::{Batch, BatchCompletion, Buffers}, operation::Output};
    ///
    /// /// Writes back the bytes that a read at `offset` has brought, from the same buffer.
    /// fn write_back<'scope>(batch: &Batch<'scope, '_>, file: &'scope File, read: BatchCompletion<'scope>, offset: u64) {
    ///     if let (Ok(Output::Count(count)), Buffers::Buffer(buffer)) = (read.result, read.lent) {
    ///         batch.add_write(read.index, file.as_ref(), buffer, 0..count, Some(offset));
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `bytes` are not all in `buffer`.
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

    /// Adds an [`Operation::Send`] of the `bytes` of `buffer`. The buffer comes back whole, as [`Buffers::Buffer`], and
    /// can be used for receiving again.
    ///
    /// The result is [`Output::Count`], which is short only if the operation ended early; in that case add the rest
    /// again.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` are not all in `buffer`.
    pub fn add_send(&self, index: usize, socket: &'scope Descriptor, buffer: &'scope mut [u8], bytes: Range<usize>) {
        self.push(index, Added::Send { socket, source: Source::new(buffer, bytes) });
    }

    fn push(&self, index: usize, added: Added<'scope>) {
        self.added.lock().push_back((index, added));
    }

    /// Begins the added operations and waits until one has completed, if there is one that can.
    ///
    /// If no unit of concurrency is free, operations run one after the other, in the order in which they were added, on
    /// top of the caller. So this never fails for lack of a unit.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A request, or a timeout around the call, ends this wait but not the operations, which stay
    /// in flight. Only an operation that runs on top of the caller ends too, and completes with that error.
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

    /// Begins all added operations at once, and waits until one has completed, if there is one that can.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A request, or a timeout around the call, leaves the operations in flight.
    ///
    /// # Errors
    ///
    /// [`Canceled`]; [`ConcurrencyUnavailable`](crate::error::ConcurrencyUnavailable) if there are fewer units of
    /// concurrency than operations. Operations that have not begun stay added.
    pub fn wait_concurrent(&self, io: &dyn Io) -> io::Result<()> {
        io.check_cancel()?;
        self.begin()?;
        Ok(self.results.wait(io, 1)?)
    }

    /// Takes the oldest completion. Never waits.
    pub fn next(&self) -> Option<BatchCompletion<'scope>> {
        self.results.take()
    }

    /// Returns true if no operation is added, in flight or completed.
    pub fn is_empty(&self) -> bool {
        // Under one lock: an operation that leaves `added`, or comes back to it, counts as pending in between.
        let added = self.added.lock();
        added.is_empty() && self.results.is_empty()
    }

    /// Cancels all operations, waits until none is in flight, and returns those that were canceled, with the buffers
    /// that they had borrowed. Operations that succeeded nevertheless stay for [`next`](Self::next). The batch can be
    /// used again.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; the caller's next cancellation point returns it.
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

    /// Begins as many of the added operations as there are units of concurrency.
    fn begin(&self) -> Result<(), SpawnErrorKind> {
        context::current(|context| context.assert_may_suspend());
        while let Some(first) = self.take_added() {
            let body = Under { io: self.group.io().clone() };
            let mut parcel = Parcel::of(first);
            // The task inherits no timeout, because it outlives the wait that begins it.
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

    /// Performs the operation that was added first, on the calling context.
    fn perform_first(&self, io: &dyn Io) -> Result<(), Canceled> {
        let Some(First { index, added, pending }) = self.take_added() else { return Ok(()) };
        let mut completion = added.perform(io, index);
        // If the request is that of the caller, or of its timeout, the caller is told.
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
    /// Returns true if the operation was canceled before it achieved anything.
    pub fn is_canceled(&self) -> bool {
        self.result.as_ref().is_err_and(Canceled::is_in)
    }
}

/// An operation that was added, with everything that it has borrowed.
enum Added<'a> {
    /// Added as data.
    Operation(Operation<'a>),
    /// Added by [`Batch::add_write`].
    Write { file: &'a Descriptor, source: Source<'a>, offset: Option<u64> },
    /// Added by [`Batch::add_send`].
    Send { socket: &'a Descriptor, source: Source<'a> },
}

impl<'a> Added<'a> {
    /// Performs the operation and keeps the buffers that it had borrowed.
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

    /// Returns the buffers of an operation that is not performed.
    fn into_lent(self) -> Buffers<'a> {
        match self {
            Self::Operation(operation) => Buffers::by(operation),
            Self::Write { source, .. } | Self::Send { source, .. } => source.into_lent(),
        }
    }
}

/// A buffer and the part of it that is written.
struct Source<'a> {
    buffer: &'a mut [u8],
    /// A range within `buffer`.
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
    /// Returns the buffers that an operation borrowed which was not performed.
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

/// Performs an operation and keeps the buffers that it had borrowed.
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

/// Borrows the same buffers for a shorter time.
fn reborrow<'a>(buffers: &'a mut [IoSliceMut<'_>]) -> Vec<IoSliceMut<'a>> {
    buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect()
}

/// The operation that was added first, on its way to a task: it is no longer among the added ones, and counts as
/// pending.
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
    /// Runs `body` with a batch of operations, cancels those that are in flight when `body` ends, and returns when all
    /// have ended. The batch borrows the buffers of its operations for that time.
    ///
    /// ```
    /// use iolite_io::{Io, fs::File, completion::Buffers, operation::{Operation, Output}};
    ///
    /// /// Reads the pages of a file, eight at a time, in whatever order they arrive.
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
    /// To write the bytes from the buffer into which they were read, use [`Batch::add_write`] or [`Batch::add_send`];
    /// the buffer then comes back once more. `examples/copy.rs` copies a file this way.
    ///
    /// # Cancellation
    ///
    /// A request to the caller does not end the final wait; the caller's next cancellation point returns it.
    ///
    /// # Errors
    ///
    /// The error of the body.
    pub fn batch<'env, T, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope Batch<'scope, 'env>) -> Result<T, E>,
    ) -> Result<T, E> {
        run_scope(self, body)
    }
}

/// Runs `body` with a batch, then cancels the remaining operations and waits for them.
fn run_scope<'env, T, E>(
    io: &'env (dyn Io + 'env),
    body: impl for<'scope> FnOnce(&'scope Batch<'scope, 'env>) -> Result<T, E>,
) -> Result<T, E> {
    let batch = Batch { group: Group::new(TaskIo::Borrowed(io)), results: Arc::default(), added: Lock::default() };
    let outcome = run_to_end(io, batch.group.shared(), || body(&batch), |_| true);
    batch.group.shared().or_panic(outcome)
}
