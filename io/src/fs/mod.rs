//! Files and directories over any [`Io`](crate::Io): what std's `fs` has, and more.
//!
//! The functions are those of std, with `io` as the first argument. Where std takes a path, they take any location of a
//! file ([`AsPathAt`]): a path, or a name [in a `Dir`](Dir::at), which does not lead out of that directory.
//!
//! # Cancellation
//!
//! Every call that takes `io` is a cancellation point. An action that has begun in the file system is waited for and
//! reported. Calls that take several steps (`copy`, `remove_dir_all` and others; their documentation says so) can end
//! between two of them.
//!
//! # Errors
//!
//! The errors of the system calls, with their errno; as in std, they do not name the path. A path that leads out of its
//! `Dir` gives `EXDEV` ([`CrossesDevices`](std::io::ErrorKind::CrossesDevices)), and a path with a zero byte
//! [`InvalidInput`](std::io::ErrorKind::InvalidInput).

mod file;
mod file_lock;
mod file_properties;
mod open;

mod at;
mod dir;
mod names;
mod read_dir;
mod remove;
mod whole;

mod atomic;
mod map;
mod temp;

pub use atomic::{AtomicFile, write_atomic};
pub use dir::{Dir, DirBuilder, create_dir, create_dir_all};
pub use file::File;
pub use map::{Map, MapAccess};
pub use names::{
    access, canonicalize, chown, exists, hard_link, lchown, metadata, read_link, rename, rename_exchange,
    rename_noreplace, set_permissions, set_times, symlink, symlink_metadata,
};
pub use read_dir::{DirEntry, ReadDir, read_dir};
pub use remove::{remove_dir, remove_dir_all, remove_file};
pub use temp::temp_file;
pub use whole::{copy, read, read_to_string, write};

#[doc(inline)]
pub use crate::operation::{
    Allocation, AsPathAt, Entry, FileOperation, FileTarget, FileTimes, FileType, Lock, Metadata, OpenOptions, PathAt,
    Rename,
};
pub use crate::pool::{BufferPool, PooledBuffer};
pub use rustix::fs::{Access, Advice};
pub use std::fs::{Permissions, TryLockError};
