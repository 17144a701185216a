//! Statics that each process has for itself, even after a fork.
#![allow(unsafe_code)]

mod newest;

use std::fmt;
use std::process;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use newest::Newest;

use crate::primitive::AtomicPtr;

/// A static of which each process has its own value.
///
/// A child of `fork` inherits descriptions of threads that it does not have, and descriptors that it shares with its
/// parent. So it leaves all of that alone, including locks that were held, and makes a new value. Values are never
/// freed.
pub struct PerProcess<T: 'static>(Newest<T>);

impl<T: Default + Send + Sync + 'static> PerProcess<T> {
    /// Makes a static whose value is made on first use.
    #[expect(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Self {
        Self(Newest::new(AtomicPtr::new(ptr::null_mut())))
    }

    /// Returns the value of the calling process.
    pub fn get(&self) -> &'static T {
        self.0.get(process_number(), T::default)
    }
}

impl<T: fmt::Debug + Default + Send + Sync + 'static> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PerProcess").field(self.get()).finish()
    }
}

/// Returns a number that differs between this process and all processes that are forked from it.
fn process_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Not decided by the process ID alone, because processes in two namespaces can have the same one.
    let Some(own) = wiped_on_fork() else { return process::id().into() };
    match own.load(Ordering::Relaxed) {
        // Relaxed: the number publishes nothing.
        0 => {
            let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            own.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|other| other, |_| next)
        }
        number => number,
    }
}

/// Returns a word that is 0 in a process that was just forked, or `None` if the kernel does not support such memory.
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    static WORD: OnceLock<Option<usize>> = OnceLock::new();
    let address = (*WORD.get_or_init(|| {
        let page = rustix::param::page_size();
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let start = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), page, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the whole of that mapping, to which nobody has a reference yet.
        let wiped = unsafe { libc::madvise(start, page, libc::MADV_WIPEONFORK) } == 0;
        wiped.then_some(start as usize)
    }))?;
    // SAFETY: the beginning of a page of zeros, which is aligned, never unmapped, and used as this word alone. Zeros are
    // a value of it, so the wiping by the kernel is a store of one, in a process that has no other thread yet.
    Some(unsafe { &*ptr::with_exposed_provenance::<AtomicU64>(address) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitive::Lock;

    static NAMES: PerProcess<Lock<Vec<u32>>> = PerProcess::new();

    #[test]
    fn a_child_begins_anew() {
        let ours = NAMES.get();
        // Held across the fork: a child that touched it would wait for ever.
        let mut held = ours.lock();
        held.push(1);
        // SAFETY: the child calls only what is safe in a process with one thread of many: nothing of std's that locks,
        // except the allocator, which the C library makes usable in a child.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let own = NAMES.get();
            let anew = !ptr::eq(own, ours) && own.lock().is_empty() && ptr::eq(own, NAMES.get());
            // SAFETY: it ends the process, here.
            unsafe { libc::_exit(i32::from(!anew)) };
        }
        let mut status = -1;
        // SAFETY: a child of this process, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        drop(held);
        assert!(ptr::eq(NAMES.get(), ours) && *ours.lock() == [1]);
    }
}
