//! Limits on how deep tasks may nest on one context.

use std::fmt;

/// The maximum depth of inline tasks on one context. A level takes about 5 KiB of stack in a debug build, in addition
/// to the stack of the task itself. With this many, the panic comes before the end of a fiber's default stack of 256
/// KiB.
pub(super) const INLINE_DEPTH_MAX: u32 = 40;

/// The maximum depth at which the innermost task may begin a task that it joins. The rest is left to that task, so that
/// it can nest about as deep as on a context of its own, whichever context begins it.
pub(super) const JOINED_DEPTH_MAX: u32 = 8;

/// Inline tasks nest deeper than [`INLINE_DEPTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooDeep;

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "inline tasks nest deeper than {INLINE_DEPTH_MAX}: spawn_async ran each task on top of the one that spawned it \
             because no unit of concurrency was free; raise async_limit or do not recurse through spawn_async",
        )
    }
}
