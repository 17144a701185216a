//! The memory of a pool: one allocation, cut into pieces of one size.
#![allow(unsafe_code)]

use std::fmt;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

/// The memory of all buffers of a pool, which lie one after another from the beginning of a page.
///
/// It does not move while one of them exists. So a backend can tell the kernel about all of it once, and then only
/// names the position in each read or write; see [`Operation::Read`](crate::operation::Operation::Read).
pub struct PoolMemory {
    start: NonNull<u8>,
    bytes: usize,
    /// The allocation, which is somewhat larger; a `Vec`, whose bytes do not move when it moves.
    _allocation: Vec<u8>,
}

// SAFETY: it owns its allocation, which may be freed by any thread: the global allocator allows that. Nothing else in
// it belongs to a thread.
unsafe impl Send for PoolMemory {}
// SAFETY: its methods read two fields that nobody writes after `new`. No byte is read or written through it: that is done
// by the pieces, which do not overlap.
unsafe impl Sync for PoolMemory {}

impl PoolMemory {
    fn new(bytes: usize) -> Self {
        let page = rustix::param::page_size();
        // Not through the alignment of the allocation, because then all of it would be written with zeros.
        let mut allocation = vec![0_u8; bytes.checked_add(page).expect("no more than usize::MAX bytes")];
        let start = NonNull::from(allocation.as_mut_slice()).cast::<u8>();
        // SAFETY: a page has a power of two of bytes, so this skips less than one, and the allocation has one more than
        // `bytes`: the result lies within it.
        let start = unsafe { start.add(start.align_offset(page)) };
        Self { start, bytes, _allocation: allocation }
    }

    /// Returns the beginning of the memory.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns the size of the memory in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for PoolMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMemory").field("start", &self.start).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The part of the memory that belongs to one buffer and to nothing else. The default has no bytes.
///
/// The bytes are behind a pointer: they do not move, and may be written by the kernel, while this value moves.
#[derive(Debug)]
pub(super) struct Piece {
    start: NonNull<u8>,
    bytes: usize,
    /// The allocation that contains the bytes and keeps them alive; `None` for a piece without bytes.
    memory: Option<Arc<PoolMemory>>,
}

// SAFETY: nobody else reads or writes its bytes: `allocate` hands out each part of the memory once. So they may move to
// another thread, as those of a `Vec` may; the memory is shared through an `Arc`, and is `Send` and `Sync` itself.
unsafe impl Send for Piece {}
// SAFETY: through `&Piece` its bytes are only read, and what writes them borrows it mutably.
unsafe impl Sync for Piece {}

impl Default for Piece {
    fn default() -> Self {
        Self { start: NonNull::dangling(), bytes: 0, memory: None }
    }
}

impl Piece {
    /// Allocates `count` pieces of `bytes` zeros each.
    ///
    /// # Panics
    ///
    /// Panics if either is 0, or if the total size is more than the address space.
    pub(super) fn allocate(count: usize, bytes: usize) -> Vec<Self> {
        assert!(count > 0 && bytes > 0, "a pool of {count} buffers of {bytes} bytes holds nothing");
        let memory = Arc::new(PoolMemory::new(count.checked_mul(bytes).expect("no more than usize::MAX bytes")));
        let piece = |index| {
            // SAFETY: `index` is less than `count`, and from `start` on the memory has `count * bytes` bytes, a product that
            // did not overflow: the result lies within the allocation.
            let start = unsafe { memory.start.add(index * bytes) };
            Self { start, bytes, memory: Some(memory.clone()) }
        };
        (0..count).map(piece).collect()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: `allocate` gave this piece `bytes` bytes of memory that was zeroed, to it alone, and `self.memory`
        // keeps them for as long as `self` is borrowed. They are written only through a `&mut Piece`, so not during the
        // borrow. A default piece has 0 bytes at a dangling pointer, which is not null and aligned for bytes.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `allocate` gave this piece `bytes` bytes of memory that was zeroed, to it alone, and `self.memory` keeps
        // them for as long as `self` is borrowed: mutably, so that no other slice of them is there. A default piece has 0
        // bytes at a dangling pointer, which is not null and aligned for bytes.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    /// Returns the bytes and the allocation that contains them.
    pub(super) fn parts_mut(&mut self) -> (&mut [u8], Option<&Arc<PoolMemory>>) {
        // SAFETY: the bytes are this piece's alone, zeroed by `allocate`, or none; the memory that keeps them cannot be taken
        // out of `self`, which is borrowed mutably, so that no other slice of them is there. The second reference is to the
        // field `memory`, and nobody reaches a byte through it.
        (unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }, self.memory.as_ref())
    }

    pub(super) fn memory(&self) -> Option<&Arc<PoolMemory>> {
        self.memory.as_ref()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn pieces_lie_side_by_side_from_the_beginning_of_a_page() {
        let mut pieces = Piece::allocate(3, 4096);
        let memory = pieces[0].memory().unwrap().clone();
        assert_eq!(memory.start().as_ptr() as usize % rustix::param::page_size(), 0);
        assert_eq!(memory.bytes(), 3 * 4096);
        for (index, piece) in pieces.iter_mut().enumerate() {
            assert_eq!(piece.as_slice().as_ptr() as usize, memory.start().as_ptr() as usize + index * 4096);
            assert!(piece.as_slice().iter().all(|byte| *byte == 0));
            piece.as_mut_slice().fill(index as u8 + 1);
        }
        assert!(pieces.iter().zip(1..).all(|(piece, number)| piece.as_slice().iter().all(|byte| *byte == number)));
    }

    #[test]
    fn the_last_piece_frees_the_memory() {
        let mut pieces = Piece::allocate(2, 8);
        let memory = Arc::downgrade(pieces[0].memory().unwrap());
        drop(pieces.pop());
        let last = std::mem::take(&mut pieces[0]);
        assert!(pieces[0].as_slice().is_empty() && pieces[0].memory().is_none());
        assert_eq!(memory.strong_count(), 1);
        drop(last);
        assert_eq!(memory.strong_count(), 0);
    }

    #[test]
    #[should_panic(expected = "usize::MAX bytes")]
    fn more_than_there_can_be_is_a_panic() {
        Piece::allocate(2, usize::MAX);
    }
}
