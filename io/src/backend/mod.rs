//! For implementers of [`Io`] only: starts, contexts, wake blocks, helpers.

mod admission;
mod closing;
mod hand_over;
mod live_tasks;
mod lookup;
mod perform;
mod scoped;
mod shutdown;

pub use admission::{Admission, Slot};
pub use closing::{Closing, Count};
pub use hand_over::spawn_with;
pub use live_tasks::{LiveIndex, LiveTasks};
pub use lookup::Lookups;
pub use perform::{Perform, dispatch};
pub use scoped::ScopedOutcome;
pub use shutdown::ShutdownReport;

pub use crate::abort::AbortOnUnwind;
pub use crate::cancel::CarriesCanceled;
pub use crate::context::{
    Context, Park, Report, RuntimeGuard, SpinWait, Unparker, Wait, Wake, WakeBlock, WakeStack, claim_thread, current,
    guard_panic_hook, interruptible, interruptible_until, panic_text, park, send_report, set_current, yield_now,
};
pub use crate::decorator::Decorator;
pub use crate::descriptor::{Ready, Waiting};
pub use crate::explained::explained;
pub use crate::io::Multishot;
pub use crate::offload::BlockingPool;
pub use crate::operation::address::{address_from_kernel, kernel_address};
pub use crate::operation::{Arrival, Interest, Source, Spawned};
pub use crate::pool::{PoolMemory, Reserve};
pub use crate::primitive::Lock;
pub use crate::process::spawn::spawn_program;
pub use crate::runnable::{Refused, SpawnMode, Start, TaskOptions, TaskRef, Ticket, UnstartedQueue};
pub use crate::sys::per_process::PerProcess;
pub use crate::sys::random::system_random;
pub use crate::syscalls::{
    AddressBuffer, DiskWait, Glance, Mounts, Round, Rounds, SocketWait, Spliced, accept, allocate_flags, begin_connect,
    close, connect, directory_of, expect_ready, file_type, finish_connect, is_ready, lacks_descriptor,
    make_room_for_descriptors, note_ready, open_cached, open_file, open_flags, perform_attempt, perform_file,
    perform_nonblocking, place_of, receive_message, rename_flags, seems_ready, send_many, send_message,
    take_socket_error, try_read, try_receive_many, try_send_many, try_splice, try_write, wait_ready, waiting_of,
};
pub use crate::time::monotonic_now;

#[cfg(doc)]
use crate::Io;
