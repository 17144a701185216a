//! The cancellation state of a task.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::block::Unparker;
use super::requests::{REQUESTED, Requests};
use super::scopes::Inherited;

/// The cancellation state of one task. The task shares it with everything that may cancel it.
#[derive(Debug)]
pub(crate) struct TaskState {
    requests: Requests,
    /// The task on top of which this one runs, as its inline child. Null if there is none, or if that task was shielded
    /// when this one began. Requests to the task below are also requests to this one: the child checks for them, on the
    /// context of both, where their wakes arrive. Only the running task touches this and `seen`.
    below: AtomicPtr<TaskState>,
    /// The number of requests to the tasks below that were delivered to this one, or had been made when it began.
    seen: AtomicU32,
    inherited: Vec<Inherited>,
    /// The group of which the task is a member, or null. The address is only compared.
    group: AtomicPtr<()>,
}

impl TaskState {
    pub(crate) const fn new(inherited: Vec<Inherited>) -> Self {
        Self {
            requests: Requests::new(AtomicU32::new(0), AtomicPtr::new(std::ptr::null_mut())),
            below: AtomicPtr::new(std::ptr::null_mut()),
            seen: AtomicU32::new(0),
            inherited,
            group: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Returns the state that stands for "no task": that of a plain thread outside of every task. It cannot be
    /// canceled.
    pub(crate) fn none() -> &'static TaskState {
        static NONE: TaskState = TaskState::new(Vec::new());
        &NONE
    }

    fn is_none(&self) -> bool {
        std::ptr::eq(self, Self::none())
    }

    #[inline]
    pub(crate) fn inherited(&self) -> &[Inherited] {
        &self.inherited
    }

    /// Returns the pending requests to the task. Only the task itself calls this.
    #[inline]
    pub(crate) fn requests(&self) -> u32 {
        let own = self.requests.pending();
        if self.below.load(Ordering::Relaxed).is_null() { own } else { own | self.requests_from_below() }
    }

    /// Returns how many requests there were to the task and to those below it. Only the task itself calls this.
    pub(crate) fn count(&self) -> u32 {
        self.requests.sticky_and_count().1.wrapping_add(self.sum_below().1)
    }

    /// Returns true if the task's runtime has torn it down. Anybody may call this after the task has ended.
    pub(crate) fn was_shut_down(&self) -> bool {
        self.requests.were_shut_down()
    }

    #[cold]
    fn requests_from_below(&self) -> u32 {
        let (sticky, count) = self.sum_below();
        if count == self.seen.load(Ordering::Relaxed) { sticky } else { sticky | REQUESTED }
    }

    /// Returns whether the tasks below are torn down, and how many requests they have had.
    fn sum_below(&self) -> (u32, u32) {
        let (mut sticky, mut count) = (0, 0_u32);
        let mut state = self;
        // SAFETY: it does not end before what runs on top of it.
        while let Some(below) = unsafe { state.below.load(Ordering::Relaxed).as_ref() } {
            let of_below = below.requests.sticky_and_count();
            sticky |= of_below.0;
            count = count.wrapping_add(of_below.1);
            state = below;
        }
        (sticky, count)
    }

    /// Notes the group that the task has entered.
    pub(crate) fn set_group<T>(&self, group: *const T) {
        self.group.store(group.cast_mut().cast(), Ordering::Relaxed);
    }

    /// Returns true if `is` holds for the running task or for one below it, down to the first that was shielded.
    fn is_or_is_above(&self, is: impl Fn(&TaskState) -> bool) -> bool {
        let mut state = self;
        loop {
            if is(state) {
                return true;
            }
            // SAFETY: it does not end before what runs on top of it.
            match unsafe { state.below.load(Ordering::Relaxed).as_ref() } {
                Some(below) => state = below,
                None => return false,
            }
        }
    }

    /// Returns true if this task is a member of `group` or runs on top of a member. Only the running task calls this.
    pub(crate) fn is_within<T>(&self, group: *const T) -> bool {
        self.is_or_is_above(|state| state.group.load(Ordering::Relaxed).cast_const().cast() == group)
    }

    /// Returns true if this task is `other` or runs on top of it. Only the running task calls this.
    pub(crate) fn is_on_top_of(&self, other: &TaskState) -> bool {
        self.is_or_is_above(|state| std::ptr::eq(state, other))
    }

    /// Requests cancellation of the task and of what runs inline on top of it.
    pub(crate) fn request(&self, bits: u32) {
        if bits != 0
            && let Some(context) = self.requests.add(bits)
        {
            context.unpark();
        }
    }

    /// Returns true if the task has begun and has not ended. Anybody may call this.
    pub(crate) fn is_running(&self) -> bool {
        self.requests.is_running()
    }

    /// Returns true if there was ever a request, or the task has given one back. Anybody may call this.
    pub(crate) fn is_canceled(&self) -> bool {
        self.requests.were_any()
    }

    /// Delivers the pending requests and returns whether there were any.
    pub(crate) fn take_request(&self) -> bool {
        let own = self.requests.take();
        let (sticky, count) = self.sum_below();
        let seen = self.seen.load(Ordering::Relaxed);
        self.seen.store(count, Ordering::Relaxed);
        own | sticky != 0 || count != seen
    }

    /// Makes a request pending, such as one that was delivered. Only the task itself calls this. Returns false outside of
    /// every task.
    pub(crate) fn rearm(&self) -> bool {
        if self.is_none() {
            return false;
        }
        self.requests.rearm();
        true
    }

    /// Begins to run on `context`, on top of `below`. Requests to `below` reach this task, including those that are
    /// pending now, unless `below` is shielded.
    pub(crate) fn begin(&self, context: Unparker, below: &TaskState, shielded: bool) {
        self.requests.begin(context);
        if below.is_none() || shielded {
            return;
        }
        self.below.store(std::ptr::from_ref(below).cast_mut(), Ordering::Relaxed);
        // Counted before it is looked at: what comes in between is found twice, not missed.
        self.seen.store(self.sum_below().1, Ordering::Relaxed);
        if below.requests() != 0 {
            let _ = self.rearm();
        }
    }

    pub(crate) fn end(&self) {
        self.below.store(std::ptr::null_mut(), Ordering::Relaxed);
        self.requests.end();
    }
}
