//! The operations of io_uring with their own arguments, and the code that they share.
//!
//! Each operation is a row of [`operation!`], which says how it fills an entry and how it reads the kernel's answer;
//! [`Do::perform`] does the rest. It goes through [`Io::operate`], as all operations do, so that timeouts, requests and
//! decorators treat it like any other operation.
#![allow(unsafe_code)]

mod files;
mod id;
mod names;
mod native;
mod net;
mod raw;
mod wait;

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::squeue::Entry;
use iolite_io::{Io, operation::Operation};

use super::limits::COUNT_MAX;
use crate::sys::fd;
pub use files::*;
pub(crate) use id::UnderWay;
pub use id::{Cancel, CanceledById, Id, cancel};
pub use names::*;
use native::Native;
pub(super) use native::perform as perform_native;
pub use net::*;
pub use raw::*;
pub use wait::*;

/// An operation of io_uring: one of the structs of this module.
///
/// # Safety
///
/// The entry points only to memory that the operation borrows or owns, and into the frame. The operation completes
/// once, and after that the kernel no longer touches this memory.
pub unsafe trait Opcode: sealed::Sealed {
    /// The result of the operation.
    type Output;

    /// The memory that the entry points to besides the arguments.
    #[doc(hidden)]
    type Frame: Default;

    /// Returns the entry. The frame stays in place until `output` gets it.
    #[doc(hidden)]
    fn entry(&mut self, frame: &mut Self::Frame) -> Entry;

    /// Converts the kernel's answer to the result.
    ///
    /// # Safety
    ///
    /// The answer is the kernel's, for an entry that was filled with this frame, and it was not used before.
    #[doc(hidden)]
    unsafe fn output(self, frame: Self::Frame, answer: io::Result<u32>) -> io::Result<Self::Output>;

    /// Performs the operation.
    #[doc(hidden)]
    fn run(self, io: &dyn Io, id: Option<&Id>) -> io::Result<Self::Output> {
        run(io, self, id)
    }
}

mod sealed {
    pub trait Sealed: Sized {}
}

/// An operation with its options for ending early.
///
/// ```no_run
/// use std::io::ErrorKind;
/// use std::os::fd::AsFd;
/// use std::time::Duration;
///
/// use iolite_evented::{Evented, Options, op};
///
/// # fn main() -> std::io::Result<()> {
/// let evented = Evented::new(Options { executors: 1, ..Options::default() })?;
/// let io = evented.io();
/// let (reader, writer) = op::perform(io, op::Pipe { flags: 0 })?;
/// let mut buffer = [0; 16];
/// let read = op::Read { file: reader.as_fd(), buffer: &mut buffer, offset: None, flags: 0 };
/// let nothing = op::Do::new(read).timeout(Duration::from_millis(1)).perform(io);
/// assert_eq!(nothing.unwrap_err().kind(), ErrorKind::TimedOut);
/// let write = op::Write { file: writer.as_fd(), buffer: b"now", offset: None, flags: 0 };
/// assert_eq!(op::perform(io, write)?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it does nothing before it is performed"]
pub struct Do<'a, O> {
    operation: O,
    timeout: Option<Duration>,
    id: Option<&'a Id>,
}

impl<'a, O: Opcode> Do<'a, O> {
    /// Wraps the operation, without a timeout and without an id.
    pub fn new(operation: O) -> Self {
        Self { operation, timeout: None, id: None }
    }

    /// Ends the operation when `timeout` has passed, as [`io.timeout`](iolite_io::Io#method.timeout) does.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Lets [`cancel`] end the operation by `id` while it is under way.
    pub fn id(self, id: &'a Id) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Performs the operation and waits for its completion. It can be called from tasks and from plain threads.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. If the operation completes although it was canceled or its time was over, it is a success,
    /// and the request stays pending.
    ///
    /// # Errors
    ///
    /// Those of the kernel, with their errno. Distinct errors are: [`Canceled`](iolite_io::Canceled) if the task was
    /// canceled; [`TimedOut`](iolite_io::TimedOut), with the kind [`TimedOut`](io::ErrorKind::TimedOut);
    /// [`CanceledById`]; an error of the kind [`Unsupported`](io::ErrorKind::Unsupported) if the kernel does not have
    /// the operation, or `io` belongs to another backend; [`ShutDown`](iolite_io::error::ShutDown); and an error of the
    /// kind [`ResourceBusy`](io::ErrorKind::ResourceBusy) if another operation with the same id is under way.
    pub fn perform(self, io: &dyn Io) -> io::Result<O::Output> {
        let Self { operation, timeout, id } = self;
        match timeout {
            Some(timeout) => io.timeout(timeout, |io| operation.run(io, id)),
            None => operation.run(io, id),
        }
    }
}

/// Performs an operation and waits for its completion, as a [`Do`] without a timeout and without an id does.
///
/// # Cancellation
///
/// The same as for [`Do::perform`].
///
/// # Errors
///
/// Those of [`Do::perform`].
pub fn perform<O: Opcode>(io: &dyn Io, operation: O) -> io::Result<O::Output> {
    Do::new(operation).perform(io)
}

fn run<O: Opcode>(io: &dyn Io, mut operation: O, id: Option<&Id>) -> io::Result<O::Output> {
    let mut frame = O::Frame::default();
    let entry = operation.entry(&mut frame);
    // SAFETY: by the promise of `Opcode`, the entry points to the operation and the frame, which stay until nothing can
    // reach `native`: no `Io` can keep a value that it is lent for a call.
    let mut native = unsafe { Native::new(entry, id.cloned()) };
    let performed = io.operate(Operation::Native { operation: &mut native });
    let (answer, refused) = match (native.answer(), performed) {
        (Some(answer), performed) => (Ok(answer), performed.err()),
        (None, Err(error)) => (Err(error), None),
        (None, Ok(_)) => (Err(io::Error::other("the Io reported success but did not perform the operation")), None),
    };
    // SAFETY: if there is an answer, it is the kernel's, for the entry that was filled above.
    let output = unsafe { operation.output(frame, answer) };
    // An `Io` on the way may have reported a failure; then the operation's result is dropped here, so that the system
    // gets its resources back.
    refused.map_or(output, Err)
}

/// Defines one operation of the kernel: its arguments, the memory that its entry points to besides them, how the entry
/// is filled, and how the answer is read.
///
/// Each row makes a promise, which makes its `impl` safe: see [`Opcode`]. A pointer in its entry is that of an argument
/// or of the frame, with its length, and no row submits an operation that completes twice.
macro_rules! operation {
    (
        $(#[$meta:meta])*
        $name:ident $(<$life:lifetime>)? { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* } -> $output:ty;
        code: $kernel:ty;
        $(frame: $frame:ty;)?
        entry: |$this:ident, $room:ident| $entry:expr;
        answer: |$that:ident, $filled:ident, $answer:ident| $read:expr;
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name $(<$life>)? { $($(#[$field_meta])* pub $field: $type,)* }

        operation! {
            impl $name $(<$life>)?, $output, $kernel, $($frame)?;
            |$this, $room| $entry;
            |$that, $filled, $answer| $read
        }
    };
    (
        impl $name:ident $(<$life:lifetime>)?, $output:ty, $kernel:ty, $($frame:ty)?;
        |$this:ident, $room:ident| $entry:expr;
        |$that:ident, $filled:ident, $answer:ident| $read:expr
    ) => {
        impl $(<$life>)? $name $(<$life>)? {
            /// The kernel's number of the operation.
            pub const CODE: u8 = <$kernel>::CODE;
        }

        impl $(<$life>)? $crate::op::typed::sealed::Sealed for $name $(<$life>)? {}

        // SAFETY: a row's entry points to its arguments, with their lengths, and to its frame, and to nothing else. No
        // row has an operation that completes twice, or whose memory the kernel keeps after its completion.
        unsafe impl $(<$life>)? $crate::op::typed::Opcode for $name $(<$life>)? {
            type Output = $output;
            type Frame = operation!(@frame $($frame)?);

            fn entry(&mut self, frame: &mut Self::Frame) -> io_uring::squeue::Entry {
                let ($this, $room) = (self, frame);
                $entry.build()
            }

            unsafe fn output(self, frame: Self::Frame, answer: std::io::Result<u32>) -> std::io::Result<$output> {
                let ($that, $filled, $answer) = (self, frame, answer);
                $read
            }
        }
    };
    (@frame) => { () };
    (@frame $frame:ty) => { $frame };
}
use operation;

/// The working directory, for operations that take a directory and a path.
pub const CWD: BorrowedFd<'static> = rustix::fs::CWD;

/// Returns the length of a buffer, limited to the maximum that the kernel takes at once.
fn length(bytes: usize) -> u32 {
    bytes.min(COUNT_MAX) as u32
}

/// Returns the kernel's offset; all ones stand for the file's position.
fn at(offset: Option<u64>) -> u64 {
    offset.unwrap_or(u64::MAX)
}

fn done(answer: io::Result<u32>) -> io::Result<()> {
    answer.map(drop)
}

fn count(answer: io::Result<u32>) -> io::Result<usize> {
    answer.map(|count| count as usize)
}

/// # Safety
///
/// The answer is a new descriptor, from an operation that makes one.
unsafe fn descriptor(answer: io::Result<u32>) -> io::Result<OwnedFd> {
    // SAFETY: no other code knows this descriptor.
    answer.map(|number| unsafe { OwnedFd::from_raw_fd(number as i32) })
}
