//! Pools of reusable buffers.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::memory::{Piece, PoolMemory};
use crate::primitive::Lock;
use crate::waiting::Semaphore;

/// A fixed number of buffers of one size that many connections or reads of files share.
///
/// All memory is allocated in one piece when the pool is made. The buffers lie one after another from the beginning of
/// a page, so that buffers whose size is a multiple of a page begin on pages, as `O_DIRECT` requires. The memory is
/// freed when the pool and all its buffers are gone. A clone is the same pool. The pool belongs to no [`Io`](crate::Io)
/// and works with each; a buffer returns to the pool when it is dropped, on whatever thread.
///
/// [`TcpStream::incoming`](crate::net::TcpStream::incoming) receives into a pool: a connection takes a buffer when
/// bytes arrive, not before. A backend may keep some of the free buffers for the kernel to fill. At least one is always
/// left to circulate, and the others return when a caller waits in [`take`](Self::take), or when nothing is received
/// into the pool any more. Bytes that were received and not asked for keep their buffers until then. The kernel uses
/// the buffers in turn, so a pool that is much larger than the number of buffers in use at once wastes cache.
///
/// [`File::read_pooled_at`](crate::fs::File::read_pooled_at) and [`write_pooled_at`](crate::fs::File::write_pooled_at)
/// can save the kernel some work in each call by telling it once where the buffers are. The kernel then keeps all of
/// the pool in memory, so make a pool for files alone, and no larger than needed.
#[derive(Clone)]
pub struct BufferPool {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    count: usize,
    bytes: usize,
    /// Has one permit per buffer in `free`; a permit is given after the buffer and taken before it.
    pub(crate) available: Semaphore,
    free: Lock<Vec<Piece>>,
    /// The number of buffers that backends may still reserve.
    reservable: AtomicUsize,
    /// The number of callers that wait in `take`; while there are any, backends keep no buffers. A caller counts itself
    /// and then calls the reserves in. So a backend that has not seen the count is called in afterwards, and a backend
    /// that was called in sees the count: the channel through which it learns of the call orders the two.
    wanting: AtomicUsize,
    /// The functions that call the reserves in.
    reserves: Lock<Vec<Arc<CallIn>>>,
}

/// Asks a backend for the buffers that it keeps, without waiting for them.
type CallIn = dyn Fn() + Send + Sync;

impl BufferPool {
    /// Makes `count` buffers of `bytes` bytes each.
    ///
    /// # Panics
    ///
    /// Panics if either is 0, or if the total size is more than the address space.
    pub fn new(count: usize, bytes: usize) -> Self {
        let free = Piece::allocate(count, bytes);
        Self {
            shared: Arc::new(Shared {
                count,
                bytes,
                available: Semaphore::new(count),
                free: Lock::new(free),
                reservable: AtomicUsize::new(count - 1),
                wanting: AtomicUsize::new(0),
                reserves: Lock::default(),
            }),
        }
    }

    /// Returns the number of buffers, whether free or not.
    pub fn count(&self) -> usize {
        self.shared.count
    }

    /// Returns the size of each buffer in bytes.
    pub fn bytes(&self) -> usize {
        self.shared.bytes
    }

    /// Takes a free buffer, empty, if there is one for which nobody waits and which no backend keeps.
    pub fn try_take(&self) -> Option<PooledBuffer> {
        self.shared.available.try_acquire()?.forget();
        Some(self.shared.pop())
    }

    /// Reserves up to `most` buffers for a backend to keep. Returns `None` if no more can be spared. For implementers
    /// of an [`Io`](crate::Io); see [`Reserve`].
    ///
    /// `call_in` is called, on any thread, when a caller begins to wait for a buffer. It makes the backend drop the
    /// buffers that it keeps, soon, and does not wait.
    pub fn reserve(&self, most: usize, call_in: impl Fn() + Send + Sync + 'static) -> Option<Reserve> {
        let take = |left: usize| left.checked_sub(left.min(most));
        let left = self.shared.reservable.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        let count = left.min(most);
        if count == 0 {
            return None;
        }
        let call_in: Arc<CallIn> = Arc::new(call_in);
        self.shared.reserves.lock().push(call_in.clone());
        Some(Reserve { pool: Arc::downgrade(&self.shared), count, call_in })
    }
}

impl Shared {
    /// Takes the buffer that belongs to a permit which the caller has taken.
    pub(crate) fn pop(self: &Arc<Self>) -> PooledBuffer {
        let piece = self.free.lock().pop().expect("a permit is a buffer");
        PooledBuffer { piece, len: 0, pool: Arc::downgrade(self) }
    }
}

/// Stands for a caller that waits for a buffer.
pub(crate) struct Wanting<'a>(&'a Shared);

impl<'a> Wanting<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        shared.wanting.fetch_add(1, Ordering::Relaxed);
        // Made before the calls, which may be arbitrary code and panic: then this caller no longer waits.
        let wanting = Self(shared);
        let reserves = shared.reserves.lock().clone();
        reserves.iter().for_each(|call_in| call_in());
        wanting
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.wanting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("count", &self.count())
            .field("bytes", &self.bytes())
            .field("free", &self.shared.available.available())
            .finish_non_exhaustive()
    }
}

/// A buffer of a [`BufferPool`]; returns to the pool when dropped.
///
/// It derefs to the bytes that it holds: those that were received or read. A buffer that was just taken holds none.
pub struct PooledBuffer {
    piece: Piece,
    len: usize,
    pool: Weak<Shared>,
}

impl PooledBuffer {
    /// Returns all of its memory, to be filled; [`set_len`](Self::set_len) then says how much of it counts. The memory
    /// contains what an earlier user left.
    pub fn storage_mut(&mut self) -> &mut [u8] {
        self.piece.as_mut_slice()
    }

    /// Makes the buffer hold the first `len` bytes of its memory.
    ///
    /// # Panics
    ///
    /// Panics if its memory is smaller.
    pub fn set_len(&mut self, len: usize) {
        let bytes = self.piece.as_slice().len();
        assert!(len <= bytes, "{len} bytes in a buffer of {bytes}");
        self.len = len;
    }

    /// Returns all of its memory, like [`storage_mut`](Self::storage_mut), and the allocation that it is a part of.
    pub(crate) fn storage_and_memory_mut(&mut self) -> (&mut [u8], Option<&Arc<PoolMemory>>) {
        self.piece.parts_mut()
    }

    /// Returns the allocation that it is a part of.
    pub(crate) fn memory(&self) -> Option<&Arc<PoolMemory>> {
        self.piece.memory()
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.piece.as_slice()[..self.len]
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.piece.as_mut_slice()[..self.len]
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuffer").field("len", &self.len).field("of", &self.piece.as_slice().len()).finish()
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        // A buffer that outlives its pool has no place to return to.
        if let Some(pool) = self.pool.upgrade() {
            pool.free.lock().push(std::mem::take(&mut self.piece));
            pool.available.add_permits(1);
        }
    }
}

/// The right of a backend to keep some buffers of a pool, until it is dropped.
///
/// One buffer of a pool is never reserved, so that a waiting caller is served as soon as a buffer is dropped. While a
/// caller waits, the reserve takes no buffer.
pub struct Reserve {
    pool: Weak<Shared>,
    count: usize,
    call_in: Arc<CallIn>,
}

impl Reserve {
    /// Returns the number of buffers that may be kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes a free buffer, if there is one and no caller waits for it. The backend has to keep at most
    /// [`count`](Self::count) of them.
    pub fn take(&self) -> Option<PooledBuffer> {
        let shared = self.pool.upgrade()?;
        if shared.wanting.load(Ordering::Relaxed) > 0 { None } else { BufferPool { shared }.try_take() }
    }

    /// Returns true if [`take`](Self::take) would take a buffer now.
    pub fn has_free(&self) -> bool {
        self.pool
            .upgrade()
            .is_some_and(|pool| pool.wanting.load(Ordering::Relaxed) == 0 && pool.available.available() > 0)
    }

    /// Returns true if a caller waits for a buffer.
    pub fn is_wanted(&self) -> bool {
        self.pool.upgrade().is_some_and(|pool| pool.wanting.load(Ordering::Relaxed) > 0)
    }

    /// Returns true if this reserve belongs to `pool`.
    pub fn is_of(&self, pool: &BufferPool) -> bool {
        self.pool.as_ptr() == Arc::as_ptr(&pool.shared)
    }

    /// Returns true if all handles of the pool are gone.
    pub fn is_orphaned(&self) -> bool {
        self.pool.strong_count() == 0
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.reservable.fetch_add(self.count, Ordering::Relaxed);
            let mut reserves = pool.reserves.lock();
            let own = reserves.iter().position(|call_in| Arc::ptr_eq(call_in, &self.call_in));
            let removed = own.map(|index| reserves.swap_remove(index));
            drop(reserves);
            drop(removed);
        }
    }
}

#[cfg(test)]
mod test {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::offload::Parks;

    #[test]
    fn buffers_come_back_and_none_is_made_up() {
        let pool = BufferPool::new(2, 8);
        let (first, second) = (pool.try_take().unwrap(), pool.try_take().unwrap());
        assert!(pool.try_take().is_none());
        drop(first);
        let again = pool.try_take().unwrap();
        assert!(again.is_empty(), "one just taken holds nothing");
        assert!(pool.try_take().is_none());
        drop((again, second));
        assert_eq!(pool.shared.free.lock().len(), 2);
        assert_eq!(pool.shared.available.available(), 2);
    }

    #[test]
    fn a_buffer_outlives_its_pool() {
        let pool = BufferPool::new(1, 4);
        let mut buffer = pool.try_take().unwrap();
        drop(pool);
        buffer.storage_mut().copy_from_slice(b"text");
        buffer.set_len(2);
        assert_eq!(&*buffer, b"te");
    }

    #[test]
    #[should_panic(expected = "5 bytes in a buffer of 4")]
    fn a_length_past_its_memory_is_a_panic() {
        BufferPool::new(1, 4).try_take().unwrap().set_len(5);
    }

    #[test]
    fn one_buffer_is_never_reserved() {
        let pool = BufferPool::new(4, 1);
        let first = pool.reserve(2, || ()).unwrap();
        let second = pool.reserve(2, || ()).unwrap();
        assert_eq!((first.count(), second.count()), (2, 1));
        assert!(pool.reserve(1, || ()).is_none());
        drop(first);
        assert_eq!(pool.reserve(9, || ()).unwrap().count(), 2);
        assert!(BufferPool::new(1, 1).reserve(1, || ()).is_none());
    }

    #[test]
    fn a_reserve_that_panics_when_it_is_called_in_leaves_nobody_waiting() {
        let pool = BufferPool::new(2, 1);
        let reserve = pool.reserve(1, || resume_unwind(Box::new("of a backend"))).unwrap();
        let all = [pool.try_take().unwrap(), pool.try_take().unwrap()];
        catch_unwind(AssertUnwindSafe(|| pool.take(&Parks).map(drop))).unwrap_err();
        assert!(!reserve.is_wanted());
        drop(all);
        assert!(reserve.take().is_some());
    }

    #[test]
    fn who_waits_calls_the_reserves_in() {
        let pool = BufferPool::new(2, 1);
        let (called, calls) = mpsc::channel();
        let reserve = pool.reserve(1, move || called.send(()).unwrap()).unwrap();
        let kept = reserve.take().unwrap();
        let first = pool.take(&Parks).unwrap();
        thread::scope(|threads| {
            let second = threads.spawn(|| drop(pool.take(&Parks).unwrap()));
            calls.recv().unwrap();
            assert!(reserve.is_wanted() && reserve.take().is_none());
            drop(kept);
            second.join().unwrap();
        });
        assert!(!reserve.is_wanted() && reserve.has_free());
        drop((first, reserve));
        assert!(pool.shared.reserves.lock().is_empty());
    }

    #[test]
    fn a_reserve_knows_its_pool_and_that_it_is_gone() {
        let (pool, other) = (BufferPool::new(2, 1), BufferPool::new(2, 1));
        let reserve = pool.reserve(1, || ()).unwrap();
        assert!(reserve.is_of(&pool.clone()) && !reserve.is_of(&other));
        assert!(!reserve.is_orphaned());
        drop(pool);
        assert!(reserve.is_orphaned() && reserve.take().is_none());
    }
}
