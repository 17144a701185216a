//! The `primitive` module of the models: it provides everything that the lock-free files import from theirs, made of
//! loom's atomics, cells and locks. A model declares it as its own `primitive` and includes the files that it runs.
//!
//! loom supports SeqCst fences, but treats SeqCst accesses as something between AcqRel and more than C11 promises. Here
//! they are AcqRel, with a SeqCst fence between each two that follow one another on a thread. So both sides of a
//! protocol of the form "write here, then read there" fail as soon as one access of either side is weaker.
#![allow(dead_code, unsafe_code)]

use std::cell::Cell;

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::atomic::Ordering;
use loom::sync::{Mutex, MutexGuard};

loom::thread_local! {
    /// True if the thread's last access was SeqCst.
    static AFTER_SEQ_CST: Cell<bool> = Cell::new(false);
}

/// Called before an access with this ordering. Returns the ordering for loom.
#[track_caller]
fn begin(order: Ordering, weaker: Ordering) -> Ordering {
    let is_seq_cst = order == Ordering::SeqCst;
    if AFTER_SEQ_CST.with(|after| after.replace(is_seq_cst)) && is_seq_cst {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
    if is_seq_cst { weaker } else { order }
}

/// Called after an update that has changed nothing, and was therefore a load.
fn failed(order: Ordering) {
    AFTER_SEQ_CST.with(|after| after.set(order == Ordering::SeqCst));
}

fn of_load(order: Ordering) -> Ordering {
    if order == Ordering::SeqCst { Ordering::Acquire } else { order }
}

#[track_caller]
pub(crate) fn fence(order: Ordering) {
    AFTER_SEQ_CST.with(|after| after.set(false));
    loom::sync::atomic::fence(order);
}

macro_rules! atomic {
    ($name:ident $(<$parameter:ident>)?, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name $(<$parameter>)? (loom::sync::atomic::$name $(<$parameter>)?);

        impl $(<$parameter>)? $name $(<$parameter>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.0.load(begin(order, Ordering::Acquire))
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, begin(order, Ordering::Release));
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.0.swap(value, begin(order, Ordering::AcqRel))
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let result = self.0.compare_exchange(current, new, begin(success, Ordering::AcqRel), of_load(failure));
                if result.is_err() {
                    failed(failure);
                }
                result
            }

            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let result = self.0.fetch_update(begin(success, Ordering::AcqRel), of_load(failure), update);
                if result.is_err() {
                    failed(failure);
                }
                result
            }
        }
    };
}

macro_rules! updates {
    ($name:ident, $value:ty: $($update:ident)+) => {
        impl $name {
            $(
                #[track_caller]
                pub(crate) fn $update(&self, value: $value, order: Ordering) -> $value {
                    self.0.$update(value, begin(order, Ordering::AcqRel))
                }
            )+
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicI32, i32);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
atomic!(AtomicPtr<T>, *mut T);

updates!(AtomicU32, u32: fetch_add fetch_sub fetch_and fetch_or);
updates!(AtomicU64, u64: fetch_add fetch_sub fetch_and fetch_or);
updates!(AtomicUsize, usize: fetch_add fetch_sub fetch_and fetch_or);

/// The lock for short critical sections.
pub(crate) struct Lock<T> {
    mutex: Mutex<T>,
    number: usize,
}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        Self { mutex: Mutex::new(value), number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.mutex.lock().unwrap()
    }

    /// Compares by the order of creation, and not by addresses, which loom does not repeat.
    pub(crate) fn comes_before(&self, other: &Self) -> bool {
        self.number < other.number
    }
}

/// A value that a protocol hands over, or protects: loom fails if two threads touch it without an order.
#[derive(Debug)]
pub(crate) struct Guarded(UnsafeCell<()>);

// SAFETY: it contains nothing that two threads could touch.
unsafe impl Sync for Guarded {}

impl Guarded {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(()))
    }

    #[track_caller]
    pub(crate) fn write(&self) {
        self.0.with_mut(|_| ());
    }

    #[track_caller]
    pub(crate) fn read(&self) {
        self.0.with(|_| ());
    }
}

/// Runs `model` through every interleaving with at most this number of preemptions. Bugs of this size show with two or
/// three; all interleavings would take hours.
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
