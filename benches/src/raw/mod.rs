//! io_uring without a runtime, for the load generator and for the server that shows the limit.

mod ring;

pub(crate) use ring::{Buffer, Completion, Ring};
