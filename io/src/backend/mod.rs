//! What an implementer of [`Io`] needs, and nobody else: starts, contexts, blocks, helpers.

mod attempt;
mod blocking;
mod closing;
mod descriptors;
mod explained;
mod files;
mod lookup;
mod message;
mod mounts;
mod per_process;
mod report;
mod rounds;
mod socket_attempt;
mod splice;
mod start;
mod syscall;
mod unstarted;

pub use attempt::{note_ready, seems_ready, try_read, try_write, waiting_of};
pub use blocking::BlockingPool;
#[cfg(test)]
pub(crate) use blocking::Parks;
pub use closing::{Closing, Count};
pub use descriptors::make_room_for_descriptors;
pub use explained::explained;
pub(crate) use files::path_of;
pub use files::{allocate_flags, directory_of, open_file, perform_file, place_of, rename_flags};
pub use lookup::Lookups;
pub use message::{
    AddressBuffer, SocketWait, receive_message, send_many, send_message, try_receive_many, try_send_many,
};
pub use mounts::{Glance, Mounts, open_cached};
pub use per_process::PerProcess;
pub use report::{Report, panic_text, tell, tell_stuck};
pub use rounds::{Round, Rounds, expect_ready, finish_connect, is_ready};
pub use socket_attempt::perform_attempt;
pub(crate) use splice::is_file_to_socket;
pub use splice::{DiskWait, Spliced, try_splice};
pub use start::{Refused, SpawnMode, Start, TaskRef};
pub use syscall::{begin_connect, close, connect, open_flags, perform_nonblocking, take_socket_error};

pub use unstarted::{Ticket, UnstartedQueue};

pub use crate::cancel::CarriesCanceled;
pub use crate::context::{
    Context, Interest, Park, RuntimeGuard, SpinWait, Unparker, Wake, WakeBlock, WakeStack, claim_thread, current,
    guard_panic_hook, interruptible, interruptible_until, park, set_current, wait_ready, yield_now,
};
pub use crate::descriptor::{Ready, Waiting};
pub use crate::multishot::{Arrival, Multishot, Source};
pub use crate::net::address::{address_from_kernel, kernel_address};
pub use crate::net::pool::{PoolMemory, Reserve};
pub use crate::process::child::spawn_program;
pub use crate::task::TaskOptions;
pub use crate::time::monotonic_now;

#[cfg(doc)]
use crate::Io;
