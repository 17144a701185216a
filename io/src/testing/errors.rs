//! The errors that a program has to expect of operations on a system that works.

use std::io;

use rustix::io::Errno;

use crate::fs::FileOperation;
use crate::operation::Operation;

/// Returns the errors of an operation: at least one, the likeliest first.
pub(super) fn errors_of(operation: &Operation<'_>) -> &'static [Errno] {
    match operation {
        Operation::Socket { .. } | Operation::SocketPair { .. } | Operation::Open { .. } => {
            &[Errno::MFILE, Errno::NFILE]
        }
        Operation::Bind { .. } | Operation::Listen { .. } => &[Errno::ADDRINUSE],
        Operation::Attempt(_) => &[Errno::AGAIN],
        Operation::Accept { .. } => &[Errno::CONNABORTED, Errno::MFILE],
        Operation::Connect { .. } => &[Errno::CONNREFUSED, Errno::TIMEDOUT, Errno::HOSTUNREACH],
        Operation::Resolve { .. } => &[Errno::TIMEDOUT],
        Operation::Receive { .. } | Operation::ReceiveMessage { .. } | Operation::ReceiveMany { .. } => {
            &[Errno::CONNRESET, Errno::TIMEDOUT]
        }
        Operation::Send { .. }
        | Operation::SendMessage { .. }
        | Operation::SendMany { .. }
        | Operation::SendZeroCopy { .. } => &[Errno::PIPE, Errno::CONNRESET],
        Operation::Shutdown { .. } => &[Errno::NOTCONN],
        Operation::Write { .. }
        | Operation::WriteVectored { .. }
        | Operation::File(
            FileOperation::SetLength { .. } | FileOperation::Allocate { .. } | FileOperation::MakeDirectory { .. },
        ) => &[Errno::NOSPC, Errno::IO],
        Operation::Read { .. }
        | Operation::ReadVectored { .. }
        | Operation::Splice { .. }
        | Operation::Sync { .. }
        | Operation::File(_)
        | Operation::Close { .. } => &[Errno::IO],
        Operation::Spawn { .. } | Operation::Offload { .. } => &[Errno::AGAIN],
        Operation::Ready { .. }
        | Operation::Native { .. }
        | Operation::Nop
        | Operation::SetOption { .. }
        | Operation::GetOption { .. }
        | Operation::LocalAddress { .. }
        | Operation::PeerAddress { .. }
        | Operation::Seek { .. } => &[Errno::NOMEM],
    }
}

/// Returns one of the errors of an operation, chosen by `number`.
pub(super) fn error_of(operation: &Operation<'_>, number: usize) -> io::Error {
    let errors = errors_of(operation);
    errors[number % errors.len()].into()
}
