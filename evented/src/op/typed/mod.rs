//! The operations of io_uring with their own arguments: what all of them have in common.
//!
//! An operation says how it fills an entry and what the kernel's answer means, in a row of
//! [`operation!`]; [`Do::perform`] does the rest. It goes through [`Io::operate`], as all operations
//! do, so that timeouts, requests and decorators treat it as any other.
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
/// The entry points only to what the operation borrows or owns, and to what is in the frame; it
/// completes once, and after that the kernel touches nothing of it.
pub unsafe trait Opcode: sealed::Sealed {
    /// What it brings.
    type Output;

    /// What the entry points to beside the arguments.
    #[doc(hidden)]
    type Frame: Default;

    /// The entry. The frame stays where it is until `output` gets it.
    #[doc(hidden)]
    fn entry(&mut self, frame: &mut Self::Frame) -> Entry;

    /// What the answer means.
    ///
    /// # Safety
    ///
    /// It is the kernel's, to an entry that was filled with this frame; and nobody has had it before.
    #[doc(hidden)]
    unsafe fn output(self, frame: Self::Frame, answer: io::Result<u32>) -> io::Result<Self::Output>;

    /// Performs it.
    #[doc(hidden)]
    fn run(self, io: &dyn Io, id: Option<&Id>) -> io::Result<Self::Output> {
        run(io, self, id)
    }
}

mod sealed {
    pub trait Sealed: Sized {}
}

/// An operation with what it needs to end early.
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
    /// The operation, without a timeout and an id.
    pub fn new(operation: O) -> Self {
        Self { operation, timeout: None, id: None }
    }

    /// Ends it when `timeout` is over, as [`io.timeout`](iolite_io::Io#method.timeout) does.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Lets [`cancel`] end it, by `id`, while it is under way.
    pub fn id(self, id: &'a Id) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Performs the operation and waits for its completion. From tasks and plain threads.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. What has completed although it was canceled, or its time was over, is
    /// a success, and the request stays pending.
    ///
    /// # Errors
    ///
    /// The kernel's, with its errno. Told apart: [`Canceled`](iolite_io::Canceled), for the task was
    /// canceled; [`TimedOut`](iolite_io::TimedOut), of kind [`TimedOut`](io::ErrorKind::TimedOut);
    /// [`CanceledById`]. Of kind [`Unsupported`](io::ErrorKind::Unsupported) when the kernel does not have the
    /// operation, or `io` is of another backend. [`ShutDown`](iolite_io::error::ShutDown). Of kind
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) when the id is that of an operation under way.
    pub fn perform(self, io: &dyn Io) -> io::Result<O::Output> {
        let Self { operation, timeout, id } = self;
        match timeout {
            Some(timeout) => io.timeout(timeout, |io| operation.run(io, id)),
            None => operation.run(io, id),
        }
    }
}

/// Performs an operation and waits for its completion: a [`Do`] without a timeout and an id.
///
/// # Cancellation
///
/// As [`Do::perform`].
///
/// # Errors
///
/// As [`Do::perform`].
pub fn perform<O: Opcode>(io: &dyn Io, operation: O) -> io::Result<O::Output> {
    Do::new(operation).perform(io)
}

fn run<O: Opcode>(io: &dyn Io, mut operation: O, id: Option<&Id>) -> io::Result<O::Output> {
    let mut frame = O::Frame::default();
    let entry = operation.entry(&mut frame);
    // SAFETY: by the promise of `Opcode` it points to the operation and the frame, which stay until `native` is
    // out of reach: no `Io` can keep what it is lent for a call.
    let mut native = unsafe { Native::new(entry, id.cloned()) };
    let performed = io.operate(Operation::Native { operation: &mut native });
    let (answer, refused) = match (native.answer(), performed) {
        (Some(answer), performed) => (Ok(answer), performed.err()),
        (None, Err(error)) => (Err(error), None),
        (None, Ok(_)) => (Err(io::Error::other("the Io reported success but did not perform the operation")), None),
    };
    // SAFETY: the kernel's answer, if there is one, to the entry that was filled above.
    let output = unsafe { operation.output(frame, answer) };
    // An `Io` on the way may say that it failed; what it has made is dropped then, and so not lost to the system.
    refused.map_or(output, Err)
}

/// One operation of the kernel: its arguments, what its entry points to beside them, how it is filled,
/// and what the answer means.
///
/// What a row promises, which makes its `impl` safe: see [`Opcode`]. A pointer in its entry is that of
/// an argument or of the frame, with its length; no row submits what completes twice.
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
            /// Its number, as the kernel knows it.
            pub const CODE: u8 = <$kernel>::CODE;
        }

        impl $(<$life>)? $crate::op::typed::sealed::Sealed for $name $(<$life>)? {}

        // SAFETY: a row's entry points to its arguments, with their lengths, and to its frame, and to nothing else; no row
        // has an operation that completes twice, or whose memory the kernel keeps after that.
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

/// The most bytes of a buffer that the kernel takes at once.
fn length(bytes: usize) -> u32 {
    bytes.min(COUNT_MAX) as u32
}

/// Where in a file; all ones stand for its position.
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
/// The answer is a new descriptor, that of an operation that makes one.
unsafe fn descriptor(answer: io::Result<u32>) -> io::Result<OwnedFd> {
    // SAFETY: nobody else knows it.
    answer.map(|number| unsafe { OwnedFd::from_raw_fd(number as i32) })
}
