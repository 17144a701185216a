//! The name of the task that runs on a stack, for the report of an overflow.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

/// A name: the bytes of a string, or null.
struct Name {
    start: Cell<*const u8>,
    bytes: Cell<usize>,
}

/// The place of a name. It lies on the stack itself, at its beginning, where the handler of overflows finds it by the
/// address that was hit: no resumption has to say which coroutine runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameSlot(*const Name);

impl NameSlot {
    /// The bytes below the top of a stack that are its name's.
    pub(crate) const BYTES: usize = size_of::<Name>();

    /// Returns the slot that ends at `top`.
    ///
    /// # Safety
    ///
    /// `top` is the top of a stack that somebody has for as long as the slot is used. It is a multiple of 64.
    pub(crate) unsafe fn below(top: usize) -> Self {
        Self(ptr::with_exposed_provenance::<Name>(top - Self::BYTES))
    }

    /// Sets the name, or takes it away.
    ///
    /// # Safety
    ///
    /// The stack is still there. The name stays valid until another one, or none, is set, or nothing runs on the stack any
    /// more. Only one thread calls this at a time.
    #[inline]
    pub(crate) unsafe fn set(self, name: Option<&str>) {
        // SAFETY: `below` was given a stack that is there, as this function's caller says, too.
        let place = unsafe { &*self.0 };
        place.bytes.set(name.map_or(0, str::len));
        place.start.set(name.map_or(ptr::null(), str::as_ptr));
    }

    /// Returns the name, if there is one. Async-signal-safe.
    ///
    /// # Safety
    ///
    /// The stack is there, the calling thread is the one that runs on it, and the name lives as long as `'a`.
    pub(crate) unsafe fn get<'a>(self) -> Option<&'a [u8]> {
        // SAFETY: as in `set`.
        let place = unsafe { &*self.0 };
        let start = place.start.get();
        // SAFETY: not null, so `set` was given a name there, of so many bytes, which is valid, since something runs on the
        // stack.
        (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, place.bytes.get()) })
    }
}
