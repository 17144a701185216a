//! io_uring without a runtime, for the server that is the limit and for the load generator.

mod ring;

pub(crate) use ring::{Buffer, Completion, Ring};
