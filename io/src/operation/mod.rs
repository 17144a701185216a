//! Operations as data: the requests that a program can make of an [`Io`](crate::Io), and their answers.
//!
//! Nothing in here performs an operation: the handles that do are in [`net`](crate::net), [`fs`](crate::fs) and their siblings.

mod output;
mod request;

mod multishot;

mod interest;
mod job;
mod program;
mod shared_bytes;

pub(crate) mod address;
mod message;
mod socket;
#[doc(hidden)]
pub mod socket_option;

mod at;
mod file;
mod metadata;
mod open_options;

pub use crate::descriptor::Descriptor;
#[doc(hidden)]
pub use address::{Address, ToUnixAddress, UnixAddress};
pub(crate) use at::cut;
#[doc(hidden)]
pub use at::{AsPathAt, PathAt};
#[doc(hidden)]
pub use file::{Allocation, Entry, FileOperation, FileTarget, Lock, Rename};
pub use interest::Interest;
pub use job::Job;
#[doc(hidden)]
pub use message::{Message, OutgoingMessage};
#[doc(hidden)]
pub use metadata::{FileTimes, FileType, Metadata};
#[doc(hidden)]
pub use multishot::{Arrival, Source};
#[doc(hidden)]
pub use open_options::OpenOptions;
pub use output::Output;
pub(crate) use program::Process;
#[doc(hidden)]
pub use program::Spawned;
pub use request::{Attempt, Operation};
pub use shared_bytes::SharedBytes;
#[doc(hidden)]
pub use socket::{Domain, Received, SocketType};
#[doc(hidden)]
pub use socket_option::{Credentials, OptionName, OptionValue, SocketOption};
