//! The means to wake a thread: a condition variable, or a signal that interrupts its system call.

use std::sync::Condvar;

use super::call::{Call, Signaling};
use super::park_state::ParkState;
use crate::time::{Instant, monotonic_now};

/// The part of a thread's wake block with which the thread is woken.
#[derive(Debug, Default)]
pub(super) struct ThreadParker {
    call: Call,
    /// Also the lock of the condition variable.
    signaling: Signaling,
    wake: Condvar,
}

impl ThreadParker {
    pub(super) fn wake(&self) {
        let mut signaling = self.signaling.lock();
        if !self.call.interrupt(&mut signaling) {
            // First, because the woken thread would otherwise run into the lock and sleep again. It is in the wait
            // already, or saw its token under the lock.
            drop(signaling);
            self.wake.notify_one();
        }
    }

    pub(super) fn call(&self) -> (&Call, &Signaling) {
        (&self.call, &self.signaling)
    }

    /// Blocks the thread until its token arrives or the deadline passes. Returns true if it was woken out of its sleep.
    pub(super) fn park(&self, state: &ParkState, deadline: Option<Instant>) -> bool {
        if !state.begin_park() {
            return false;
        }
        let mut lock = self.signaling.lock();
        while !state.is_notified() {
            lock = match deadline {
                None => self.wake.wait(lock).unwrap_or_else(|poison| poison.into_inner()),
                Some(deadline) => {
                    let rest = deadline.saturating_duration_since(monotonic_now());
                    if rest.is_zero() {
                        break;
                    }
                    match self.wake.wait_timeout(lock, rest) {
                        Ok((lock, _)) => lock,
                        Err(poison) => poison.into_inner().0,
                    }
                }
            };
        }
        drop(lock);
        state.end_park()
    }
}
