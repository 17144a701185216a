//! Wake blocks, through which contexts are woken, and which stay valid for the whole life of the process.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::park_state::ParkState;
use super::thread_parker::ThreadParker;

/// The park token of one context, and the way to wake that context.
///
/// Blocks are leaked and reused, never freed. A late waker still finds a block, at worst that of another context, which
/// then wakes once without a reason. That is harmless, because every wait is a loop over its own condition.
#[derive(Debug)]
pub struct WakeBlock {
    state: ParkState,
    target: Target,
    /// The next block of the [`WakeStack`](super::WakeStack) that holds this one. Only the waker whose `notify` said
    /// that it has to wake writes this, until `woken`.
    pub(super) next: AtomicPtr<WakeBlock>,
    /// A word with which the owning backend finds its fiber again; only the owner's thread reads it.
    owner: AtomicUsize,
}

#[derive(Debug)]
enum Target {
    Thread(ThreadParker),
    Backend(&'static dyn Wake),
}

/// Tells a backend that one of its parked contexts has to run.
pub trait Wake: Sync + std::fmt::Debug {
    /// Makes the owner of `block` ready if it is parked and belongs to the calling thread; otherwise returns false. The
    /// owner then needs no token, because the condition for which it waits is true when it goes on.
    ///
    /// Must not block and must not panic.
    fn wake_here(&self, block: &'static WakeBlock) -> bool {
        let _ = block;
        false
    }

    /// Brings `block` to the executor that owns it, from any thread.
    ///
    /// The block belongs to the caller until the executor calls [`WakeBlock::woken`]; a [`WakeStack`](super::WakeStack)
    /// is the usual means. Must not block and must not panic.
    fn wake(&self, block: &'static WakeBlock);
}

impl WakeBlock {
    /// Makes a block that `target` wakes. It is never freed, so keep and reuse it.
    pub fn leak(target: &'static dyn Wake) -> &'static WakeBlock {
        Self::leak_with(Target::Backend(target))
    }

    pub(crate) fn leak_thread() -> &'static WakeBlock {
        Self::leak_with(Target::Thread(ThreadParker::default()))
    }

    fn leak_with(target: Target) -> &'static WakeBlock {
        Box::leak(Box::new(WakeBlock {
            state: ParkState::new(),
            target,
            next: AtomicPtr::new(ptr::null_mut()),
            owner: AtomicUsize::new(0),
        }))
    }

    /// Announces that the owner goes to sleep. Returns false if there was a token, which is consumed; the owner then
    /// has to go on. A thread calls it before it sleeps; see [`take_token`](Self::take_token) for executors.
    #[must_use]
    #[inline]
    pub fn begin_park(&self) -> bool {
        self.state.begin_park()
    }

    /// Announces that the owner runs again, and consumes the token. Returns true if there was one.
    #[inline]
    pub fn end_park(&self) -> bool {
        self.state.end_park()
    }

    /// Consumes the token, if there is one, and leaves the block parked.
    ///
    /// For executors, which call [`begin_park`](Self::begin_park) once, when they take the block, so that every token
    /// is reported to them. They call this on the owner's thread before they let the owner sleep.
    #[inline]
    pub fn take_token(&self) -> bool {
        self.state.take_token()
    }

    /// Ends a wake that [`Wake::wake`] began. Make the owner ready **after** this call.
    #[inline]
    pub fn woken(&self) {
        self.state.woken();
    }

    /// Returns true if a waker still holds this block, so that its owner must not give it up yet.
    pub fn is_queued(&self) -> bool {
        self.state.is_queued()
    }

    /// Returns true if a token waits for the owner.
    pub fn is_notified(&self) -> bool {
        self.state.is_notified()
    }

    /// Clears the state of an earlier owner. The new owner calls it first.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Sets the word by which the owning backend finds its context.
    ///
    /// # Safety
    ///
    /// Only the backend that made the block calls this: it may keep a pointer here.
    pub unsafe fn set_owner(&self, owner: usize) {
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// Returns the word that was last set by [`set_owner`](Self::set_owner); for the owner's own thread.
    #[inline]
    pub fn owner(&self) -> usize {
        self.owner.load(Ordering::Relaxed)
    }

    /// Returns true if `target` wakes this block: it was made by [`leak`](Self::leak) with it.
    #[inline]
    pub fn is_woken_by(&self, target: &'static dyn Wake) -> bool {
        matches!(self.target, Target::Backend(own) if ptr::addr_eq(own, target))
    }

    pub(super) fn state(&self) -> &ParkState {
        &self.state
    }

    pub(super) fn thread(&self) -> Option<&ThreadParker> {
        match &self.target {
            Target::Thread(parker) => Some(parker),
            Target::Backend(_) => None,
        }
    }
}

/// Leaves a token with one context. Copyable, usable from any thread, and valid for ever.
#[derive(Clone, Copy, Debug)]
pub struct Unparker(pub(super) &'static WakeBlock);

impl PartialEq for Unparker {
    /// Returns true if both wake the same context.
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for Unparker {}

impl Unparker {
    /// Lets the context's current or next [`park`](crate::Io::park) return.
    ///
    /// Tokens do not add up. Never blocks.
    #[inline]
    pub fn unpark(self) {
        match &self.0.target {
            Target::Thread(parker) => {
                if self.0.state.notify() {
                    self.0.state.woken();
                    parker.wake();
                }
            }
            Target::Backend(target) => {
                if !target.wake_here(self.0) && self.0.state.notify() {
                    target.wake(self.0);
                }
            }
        }
    }

    pub(crate) fn as_ptr(self) -> *mut WakeBlock {
        ptr::from_ref(self.0).cast_mut()
    }

    /// # Safety
    ///
    /// `pointer` came from [`as_ptr`](Self::as_ptr).
    pub(crate) unsafe fn from_ptr(pointer: *mut WakeBlock) -> Self {
        // SAFETY: the caller says that it was a `&'static WakeBlock`.
        Self(unsafe { &*pointer })
    }
}
