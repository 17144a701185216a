//! Operations as system calls, for backends on an operating system. None of them checks for cancellation: a backend
//! passes its cancellation point first.

mod quick;

mod files;
mod mounts;

mod attempt;
mod message;
mod socket_attempt;
mod splice;

mod rounds;
mod wait_ready;

mod descriptors;

pub use attempt::{file_type, note_ready, seems_ready, try_read, try_write, waiting_of};
pub use descriptors::make_room_for_descriptors;
pub use files::{allocate_flags, directory_of, open_file, perform_file, place_of, rename_flags};
pub use message::{
    AddressBuffer, SocketWait, receive_message, send_many, send_message, try_receive_many, try_send_many,
};
pub use mounts::{Glance, Mounts, open_cached};
pub use quick::{begin_connect, close, connect, open_flags, perform_nonblocking, take_socket_error};
pub use rounds::{Round, Rounds, expect_ready, finish_connect, is_ready};
pub use socket_attempt::{accept, lacks_descriptor, perform_attempt};
pub(crate) use splice::is_file_to_socket;
pub use splice::{DiskWait, Spliced, try_splice};
pub use wait_ready::wait_ready;
