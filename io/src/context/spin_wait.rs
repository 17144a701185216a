//! Spin waits: giving the processor away for a moment before going to sleep.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use crate::time::monotonic_now;

/// The number of times that a thread gives the processor away before it sleeps.
const YIELDS: u32 = 4;

/// If the processor comes back only after this time, an unrelated thread had it, which would not have had it from a
/// thread that sleeps and is woken.
const WAIT_MAX: Duration = Duration::from_micros(500);

/// The maximum number of times that a thread sleeps at once and is woken after a wait did not pay off.
const SKIPS_MAX: u32 = 255;

/// Decides whether a thread that is about to sleep gives the processor away for a moment first, because other threads
/// may complete their part in that time. Then it does not have to sleep, and no thread has to wake it. This saves each
/// side a system call, and on a shared processor two threads that answer each other just take turns.
///
/// It learns: a thread that is never woken never waits, and each time that a wait was in vain, the thread sleeps and is
/// woken twice as often before it tries again. Belongs to one thread.
#[derive(Debug)]
pub struct SpinWait {
    /// The number of times that others still have to wake the thread before it waits.
    skips: Cell<u32>,
    /// The value from which `skips` last counted down.
    skips_last: Cell<u32>,
}

/// The result of a wait.
#[derive(Clone, Copy)]
enum Outcome {
    Paid,
    InVain,
    /// Another thread had the processor for long.
    TooLong,
}

impl Default for SpinWait {
    fn default() -> Self {
        Self { skips: Cell::new(1), skips_last: Cell::new(0) }
    }
}

impl SpinWait {
    /// Returns true if the thread should [`wait`](Self::wait) before it sleeps.
    #[inline]
    pub fn pays(&self) -> bool {
        self.skips.get() == 0
    }

    /// Counts a sleep that another thread has ended.
    #[inline]
    pub fn woken(&self) {
        self.skips.set(self.skips.get().saturating_sub(1));
    }

    /// Gives the processor away a bounded number of times, until `ready` returns true. Returns true if it did.
    pub fn wait(&self, ready: impl Fn() -> bool) -> bool {
        let begun = monotonic_now();
        let mut is_ready = false;
        let mut outcome = Outcome::InVain;
        for _ in 0..YIELDS {
            thread::yield_now();
            is_ready = ready();
            if monotonic_now() - begun > WAIT_MAX {
                outcome = Outcome::TooLong;
                break;
            }
            if is_ready {
                outcome = Outcome::Paid;
                break;
            }
        }
        self.learn(outcome);
        is_ready
    }

    fn learn(&self, outcome: Outcome) {
        let skips = match outcome {
            Outcome::Paid => 0,
            Outcome::InVain => (2 * self.skips_last.get() + 1).min(SKIPS_MAX),
            Outcome::TooLong => SKIPS_MAX,
        };
        self.skips_last.set(skips);
        self.skips.set(skips);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of times that the thread has to be woken before it waits.
    fn skipped(spin_wait: &SpinWait) -> u32 {
        (0..)
            .find(|_| {
                spin_wait.pays() || {
                    spin_wait.woken();
                    false
                }
            })
            .expect("some time")
    }

    #[test]
    fn waiting_is_bounded_and_ends_when_ready() {
        let asked = Cell::new(0);
        let ask = |ready| {
            asked.set(asked.get() + 1);
            ready
        };
        assert!(!SpinWait::default().wait(|| ask(false)));
        assert!((1..=YIELDS).contains(&asked.get()));
        asked.set(0);
        assert!(SpinWait::default().wait(|| ask(true)));
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn who_is_not_woken_does_not_wait() {
        let spin_wait = SpinWait::default();
        assert!(!spin_wait.pays());
        spin_wait.woken();
        assert!(spin_wait.pays());
    }

    #[test]
    fn what_is_in_vain_becomes_rare() {
        let spin_wait = SpinWait::default();
        let skips = [(); 9].map(|()| {
            spin_wait.learn(Outcome::InVain);
            skipped(&spin_wait)
        });
        assert_eq!(skips, [1, 3, 7, 15, 31, 63, 127, 255, 255]);
    }

    #[test]
    fn what_takes_too_long_becomes_rare_at_once() {
        let spin_wait = SpinWait::default();
        spin_wait.learn(Outcome::TooLong);
        assert_eq!(skipped(&spin_wait), SKIPS_MAX);
    }

    #[test]
    fn what_paid_once_is_tried_again() {
        let spin_wait = SpinWait::default();
        spin_wait.learn(Outcome::TooLong);
        spin_wait.learn(Outcome::Paid);
        assert_eq!(skipped(&spin_wait), 0);
        spin_wait.learn(Outcome::InVain);
        assert_eq!(skipped(&spin_wait), 1, "and what was learned before is forgotten");
    }
}
