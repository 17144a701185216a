//! Rings of buffers, from which the kernel takes a buffer when bytes have arrived.
//!
//! The kernel calls such a ring a group. An executor has one for each pool into which its fibers receive, and makes it
//! when the first of them asks. The ring holds some of the pool's buffers: those that the kernel may fill. A buffer
//! that was filled leaves the ring, and another one is put in before the next wait.
//!
//! Buffers cannot be taken out of a ring one by one, because only the kernel knows how far it has come. So when
//! somebody waits for a buffer, the ring is *withdrawn*: it is unregistered, after which the kernel fills no buffer,
//! and it is empty once all completions were handled. Receives into it then end for want of buffers. It is registered
//! again for the next receive when nobody waits.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use iolite_io::backend::Reserve;
use iolite_io::net::{BufferPool, PooledBuffer};

use super::Ring;

/// The maximum number of buffers that the kernel accepts in one ring.
const ENTRIES_MAX: usize = 1 << 15;

/// The rings of buffers of one executor; a group is an index.
#[derive(Debug, Default)]
pub(crate) struct BufferRings(RefCell<Vec<Option<BufferRing>>>);

impl BufferRings {
    /// Acquires the group for receiving into `pool`, until [`release`](Self::release): the existing one, or a new one
    /// with up to `most` of the pool's buffers. Returns `None` if the pool can spare none, or the kernel does not have
    /// such rings. Somebody who waits for a buffer calls `call_in`; then [`withdraw`](Self::withdraw) has to be called.
    pub(crate) fn acquire(
        &self,
        ring: &Ring,
        pool: &BufferPool,
        most: usize,
        call_in: impl Fn() + Send + Sync + 'static,
    ) -> Option<u16> {
        let mut rings = self.0.borrow_mut();
        let known = rings.iter().position(|ring| ring.as_ref().is_some_and(|ring| ring.reserve.is_of(pool)));
        let group = match known {
            Some(group) => group,
            None => {
                let _ = drop_unused(ring, &mut rings, |unused| unused.reserve.is_orphaned());
                let group = rings.iter().position(Option::is_none).unwrap_or(rings.len());
                let made = BufferRing::new(ring, pool, most, u16::try_from(group).ok()?, call_in)?;
                if group == rings.len() {
                    rings.push(None);
                }
                rings[group] = Some(made);
                group
            }
        };
        let buffers = rings[group].as_mut()?;
        buffers.top_up(ring);
        buffers.users += usize::from(buffers.registered);
        buffers.registered.then_some(buffers.group)
    }

    /// Ends one use of a group.
    pub(crate) fn release(&self, group: u16) {
        if let Some(used) = &mut self.0.borrow_mut()[usize::from(group)] {
            used.users -= 1;
        }
    }

    /// Gives up the groups that no operation receives into, with their buffers. Returns true if there are any.
    pub(crate) fn release_unused(&self, ring: &Ring) -> bool {
        drop_unused(ring, &mut self.0.borrow_mut(), |_| true)
    }

    /// Adds free buffers of the pool in place of those that were taken out.
    pub(crate) fn top_up(&self, ring: &Ring, group: u16) {
        if let Some(buffers) = &mut self.0.borrow_mut()[usize::from(group)] {
            buffers.top_up(ring);
        }
    }

    /// Unregisters the rings that have buffers for which somebody waits. Returns true if there are any. When all
    /// completions up to now were handled, [`empty`](Self::empty) gives the buffers back.
    pub(crate) fn withdraw(&self, ring: &Ring) -> bool {
        let mut withdrawn = false;
        for buffers in self.0.borrow_mut().iter_mut().flatten() {
            if buffers.registered && buffers.has_lent() && buffers.reserve.is_wanted() {
                buffers.registered = ring.unregister_buffers(buffers.group).is_err();
                withdrawn |= !buffers.registered;
            }
        }
        withdrawn
    }

    /// Gives back the buffers of withdrawn rings.
    pub(crate) fn empty(&self) {
        let mut rings = self.0.borrow_mut();
        let withdrawn = rings.iter_mut().flatten().filter(|buffers| !buffers.registered);
        let returned: Vec<_> = withdrawn.flat_map(BufferRing::take_all).collect();
        drop(rings);
        drop(returned);
    }

    /// Returns true if there is a buffer that the kernel may fill.
    pub(crate) fn has_buffers(&self, group: u16) -> bool {
        self.0.borrow()[usize::from(group)].as_ref().is_some_and(BufferRing::has_lent)
    }

    /// Takes out the buffer that the kernel has filled.
    pub(crate) fn take(&self, group: u16, id: u16) -> Option<PooledBuffer> {
        self.0.borrow_mut()[usize::from(group)].as_mut()?.take(id)
    }

    /// Gives up all groups, when nothing is in flight any more.
    pub(crate) fn clear(&self, ring: &Ring) {
        let _ = drop_unused(ring, &mut self.0.borrow_mut(), |_| true);
    }
}

fn drop_unused(ring: &Ring, rings: &mut [Option<BufferRing>], which: impl Fn(&BufferRing) -> bool) -> bool {
    let mut dropped = false;
    for (group, slot) in rings.iter_mut().enumerate() {
        if let Some(unused) = slot.take_if(|buffers| buffers.users == 0 && which(buffers)) {
            dropped = true;
            // The kernel reads the memory until it is unregistered; if it refuses that, the memory is leaked.
            if unused.registered && ring.unregister_buffers(group as u16).is_err() {
                std::mem::forget(unused);
            }
        }
    }
    dropped
}

/// One ring of buffers, registered.
#[derive(Debug)]
struct BufferRing {
    group: u16,
    reserve: Reserve,
    entries: Entries,
    /// True while the ring is registered with the kernel; if not, it is withdrawn.
    registered: bool,
    /// The number of buffers that were put in since the registration, which also says where the next one goes.
    tail: u16,
    /// The buffers that the kernel may fill, by id.
    lent: Vec<Option<PooledBuffer>>,
    free_ids: Vec<u16>,
    /// The number of receives that take buffers from it.
    users: usize,
}

impl BufferRing {
    fn new(
        ring: &Ring,
        pool: &BufferPool,
        most: usize,
        group: u16,
        call_in: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        let reserve = pool.reserve(most.min(ENTRIES_MAX), call_in)?;
        let count = reserve.count();
        let entries = Entries::new(count.next_power_of_two())?;
        let free_ids = (0..count as u16).rev().collect();
        let lent = std::iter::repeat_with(|| None).take(count).collect();
        let mut made = Self { group, reserve, entries, registered: false, tail: 0, lent, free_ids, users: 0 };
        made.register(ring);
        made.registered.then_some(made)
    }

    /// Registers the ring with the kernel, without a buffer.
    fn register(&mut self, ring: &Ring) {
        self.tail = 0;
        self.entries.publish(0);
        // SAFETY: the memory stays until it was unregistered; see `drop_unused`.
        let result = unsafe { ring.register_buffers(self.entries.memory, self.entries.count, self.group) };
        self.registered = result.is_ok();
    }

    fn top_up(&mut self, ring: &Ring) {
        if !self.registered && self.reserve.has_free() {
            self.register(ring);
        }
        if !self.registered {
            return;
        }
        let before = self.tail;
        while let Some(&id) = self.free_ids.last() {
            let Some(mut buffer) = self.reserve.take() else { break };
            self.free_ids.pop();
            self.entries.write(self.tail, buffer.storage_mut(), id);
            self.lent[usize::from(id)] = Some(buffer);
            self.tail = self.tail.wrapping_add(1);
        }
        if self.tail != before {
            self.entries.publish(self.tail);
        }
    }

    /// Returns true if the kernel may fill a buffer.
    fn has_lent(&self) -> bool {
        self.free_ids.len() < self.lent.len()
    }

    /// Takes out the buffers that the kernel no longer knows.
    fn take_all(&mut self) -> Vec<PooledBuffer> {
        (0..self.lent.len() as u16).filter_map(|id| self.take(id)).collect()
    }

    fn take(&mut self, id: u16) -> Option<PooledBuffer> {
        let buffer = self.lent[usize::from(id)].take()?;
        self.free_ids.push(id);
        Some(buffer)
    }
}

/// The memory in which the kernel finds buffers: a power of two of entries, on pages that contain nothing else.
#[derive(Debug)]
struct Entries {
    memory: NonNull<BufRingEntry>,
    count: u16,
}

impl Entries {
    fn new(count: usize) -> Option<Self> {
        let count = u16::try_from(count).ok()?;
        // SAFETY: there is at least one entry, so the layout is not empty.
        let memory = unsafe { alloc_zeroed(Self::layout(count)) };
        Some(Self { memory: NonNull::new(memory.cast())?, count })
    }

    fn layout(count: u16) -> Layout {
        let bytes = usize::from(count) * size_of::<BufRingEntry>();
        Layout::from_size_align(bytes, rustix::param::page_size()).expect("a page size is a power of two")
    }

    /// Writes the entry at `position`. The kernel does not read it before it was published.
    fn write(&mut self, position: u16, storage: &mut [u8], id: u16) {
        let index = usize::from(position & (self.count - 1));
        // SAFETY: it is within the memory. The kernel only reads it and never writes it.
        let entry = unsafe { &mut *self.memory.as_ptr().add(index) };
        entry.set_addr(storage.as_mut_ptr() as u64);
        entry.set_len(u32::try_from(storage.len()).unwrap_or(u32::MAX));
        entry.set_bid(id);
    }

    /// Lets the kernel see all entries before position `tail`.
    fn publish(&self, tail: u16) {
        // SAFETY: the tail is a field of the first entry, it is aligned, and only this thread writes it.
        let field = unsafe { &*BufRingEntry::tail(self.memory.as_ptr()).cast::<AtomicU16>() };
        // Release: pairs with the kernel's acquire, so that the kernel sees the entries before their number.
        field.store(tail, Ordering::Release);
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with the same layout, and only this frees it. The kernel no longer reads it: a
        // ring of buffers is dropped only after it was unregistered, and forgotten if that fails.
        unsafe { dealloc(self.memory.as_ptr().cast(), Self::layout(self.count)) };
    }
}
