//! The names that nearly every program needs: `use iolite::prelude::*;`.

pub use crate::{BackendChoice, Canceled, Config, ErrorChain, Group, Instant, Io, RunError, Task, select};
