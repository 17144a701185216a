//! Operations as data: what a program can ask an [`Io`](crate::Io) to do, and what answers that.
//!
//! Nothing in here performs: the handles that do are in [`net`](crate::net), [`fs`](crate::fs) and their siblings.

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
pub mod socket_option;

mod at;
mod file;
mod metadata;
mod open_options;

pub use address::{Address, ToUnixAddress, UnixAddress};
pub(crate) use at::cut;
pub use at::{AsPathAt, PathAt};
pub use file::{Allocation, Entry, FileOperation, FileTarget, Lock, Rename};
pub use interest::Interest;
pub use job::Job;
pub use message::{Message, OutgoingMessage};
pub use metadata::{FileTimes, FileType, Metadata};
pub use multishot::{Arrival, Source};
pub use open_options::OpenOptions;
pub use output::Output;
pub(crate) use program::Process;
pub use program::Spawned;
pub use request::{Attempt, Operation};
pub use shared_bytes::SharedBytes;
pub use socket::{Domain, Received, SocketType};
pub use socket_option::{Credentials, OptionName, OptionValue, SocketOption};
