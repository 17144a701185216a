//! How deep tasks may nest on one context.

use std::fmt;

/// How deep inline tasks may nest on one context. A level takes about 5 KiB of stack in a debug build,
/// before what the task itself takes: with this many, the panic comes before the end of a fiber's
/// default stack of 256 KiB.
pub(super) const INLINE_DEPTH_MAX: u32 = 40;

/// How deep they may nest for the innermost to begin what it joins. The rest is left to that task: it
/// can nest about as deep as on a context of its own, whoever begins it.
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
