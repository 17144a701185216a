//! The time for which fibers run before timers, completions and other threads are served.
//!
//! A turn has a number of resumptions and a time. Reading the clock costs as much as a few resumptions. So it is not
//! read after each of them, but after the first, the second, the fourth, and so on, up to every eighth: slow fibers are
//! detected at once. When some were slow, the steps stay short for as long as there are slow ones.

use std::cell::Cell;
use std::time::Duration;

use iolite_io::Instant;

/// The time for which fibers run before others are served.
const TURN: Duration = Duration::from_micros(200);

/// The maximum number of resumptions between two readings of the clock.
const STEP_MAX: u32 = 8;

/// The time of an executor's turn.
#[derive(Debug)]
pub(super) struct TurnTime {
    /// True if there was something to serve when the turn began. If not, the turn is over as soon as something comes
    /// up.
    serves: Cell<bool>,
    /// The time at which the turn began, or at which its time was first checked; `None` before that.
    began: Cell<Option<Instant>>,
    looked: Cell<Instant>,
    /// The number of resumptions until the next reading.
    left: Cell<u32>,
    /// The number of resumptions between two readings.
    step: Cell<u32>,
    /// The maximum of `step`: it is smaller if fibers were slow in recent turns.
    step_max: Cell<u32>,
}

impl Default for TurnTime {
    fn default() -> Self {
        Self {
            serves: Cell::new(false),
            began: Cell::new(None),
            looked: Cell::new(Instant::ZERO),
            left: Cell::new(1),
            step: Cell::new(1),
            step_max: Cell::new(1),
        }
    }
}

impl TurnTime {
    /// Begins a turn; `serves` says whether there is something to serve. `now` is called if there is, and if fibers
    /// were slow.
    pub(super) fn begin(&self, serves: bool, now: impl FnOnce() -> Instant) {
        let now = (serves || self.was_slow()).then(now);
        self.serves.set(serves);
        self.began.set(now);
        self.looked.set(now.unwrap_or(Instant::ZERO));
        self.left.set(1);
        self.step.set(1);
        self.step_max.set((self.step_max.get() * 2).min(STEP_MAX));
    }

    /// Returns true if there was something to serve when the turn began.
    #[inline]
    pub(super) fn serves(&self) -> bool {
        self.serves.get()
    }

    /// Returns true if fibers were slow in recent turns. Then it pays to read the clock at the beginning of each turn,
    /// even if there is nothing to serve: a fiber that computes between its calls delays the other ready fibers.
    fn was_slow(&self) -> bool {
        self.step_max.get() < STEP_MAX
    }

    /// Counts a resumption. Returns true if it is time to read the clock.
    #[inline]
    #[must_use]
    pub(super) fn is_look_due(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        if left > 0 {
            return false;
        }
        let step = (self.step.get() * 2).min(self.step_max.get());
        self.step.set(step);
        self.left.set(step);
        true
    }

    /// Makes the clock be read after the next resumption.
    pub(super) fn look_next(&self) {
        self.left.set(1);
    }

    /// Returns true if the time of the turn is over. If the turn has no beginning yet, it begins now.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let Some(began) = self.began.get() else {
            self.began.set(Some(now));
            self.looked.set(now);
            return false;
        };
        if now - self.looked.replace(now) >= TURN / 2 {
            // Two of these make a turn.
            self.step_max.set(1);
            self.step.set(1);
            self.left.set(1);
        }
        now - began >= TURN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long a turn takes in which `takes` gives the duration of each resumption.
    fn turn(turn: &TurnTime, mut takes: impl FnMut(u32) -> Duration) -> Duration {
        let began = Instant::from_nanos(1_000_000_000);
        turn.begin(true, || began);
        let mut now = began;
        for resumption in 1..=1000 {
            now += takes(resumption);
            if turn.is_look_due() && turn.is_over(now) {
                break;
            }
        }
        now - began
    }

    const SHORT: Duration = Duration::from_micros(1);
    const LONG: Duration = Duration::from_millis(10);

    #[test]
    fn a_slow_fiber_is_the_last_of_its_turn() {
        let time = TurnTime::default();
        for _ in 0..10 {
            turn(&time, |_| SHORT);
        }
        assert_eq!(turn(&time, |_| LONG), LONG);
    }

    #[test]
    fn who_was_slow_is_known_for_some_turns() {
        let time = TurnTime::default();
        let quick_turns = |count| (0..count).for_each(|_| _ = turn(&time, |_| SHORT));
        quick_turns(10);
        assert!(!time.was_slow());
        turn(&time, |_| LONG);
        assert!(time.was_slow());
        quick_turns(2);
        assert!(time.was_slow());
        quick_turns(1);
        assert!(!time.was_slow());
    }

    #[test]
    fn many_quick_fibers_end_a_turn_by_its_time() {
        let time = TurnTime::default();
        for _ in 0..10 {
            let took = turn(&time, |_| SHORT);
            assert!(took >= TURN && took < TURN + SHORT * STEP_MAX, "{took:?}");
        }
    }

    #[test]
    fn slow_fibers_behind_quick_ones_are_met_by_surprise_but_once() {
        let time = TurnTime::default();
        for _ in 0..10 {
            turn(&time, |_| SHORT);
        }
        let mixed = |resumption| if resumption > 15 { LONG } else { SHORT };
        assert_eq!(turn(&time, mixed), SHORT * 15 + LONG * STEP_MAX);
        for _ in 0..10 {
            assert!(turn(&time, mixed) <= SHORT * 15 + LONG * 2);
        }
    }
}
