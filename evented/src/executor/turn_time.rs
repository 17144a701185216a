//! When fibers have run for long enough that timers, completions and other threads are looked after.
//!
//! A turn has a number of resumptions and a time. The clock costs as much as a few resumptions, so it is not read after
//! each of them, but after the first, the second, the fourth, and so on, up to every eighth: fibers that take long show
//! themselves at once. Once some were slow, the steps stay short for as long as there are slow ones.

use std::cell::Cell;
use std::time::Duration;

use iolite_io::Instant;

/// How long fibers run before others are looked after.
const TURN: Duration = Duration::from_micros(200);

/// How many resumptions there are between two looks at the clock, at most.
const STEP_MAX: u32 = 8;

/// The time of an executor's turn.
#[derive(Debug)]
pub(super) struct TurnTime {
    /// Whether there was something to look after when it began. If not, it is over as soon as something comes up.
    serves: Cell<bool>,
    /// When it began, or was first asked for; `None` where it was not told.
    began: Cell<Option<Instant>>,
    looked: Cell<Instant>,
    /// Resumptions until the next look.
    left: Cell<u32>,
    /// Those between two looks.
    step: Cell<u32>,
    /// The same, at most: fewer where fibers were slow in recent turns.
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
    /// Begins a turn, in which there is something to look after or not. `now` is asked for where there is, and where
    /// fibers were slow.
    pub(super) fn begin(&self, serves: bool, now: impl FnOnce() -> Instant) {
        let now = (serves || self.was_slow()).then(now);
        self.serves.set(serves);
        self.began.set(now);
        self.looked.set(now.unwrap_or(Instant::ZERO));
        self.left.set(1);
        self.step.set(1);
        self.step_max.set((self.step_max.get() * 2).min(STEP_MAX));
    }

    /// Whether there was something to look after when it began.
    #[inline]
    pub(super) fn serves(&self) -> bool {
        self.serves.get()
    }

    /// Whether fibers were slow in recent turns. Then the clock is worth its price at the beginning of each, also where there
    /// is nothing to look after: who computes between its calls has others wait that are ready.
    fn was_slow(&self) -> bool {
        self.step_max.get() < STEP_MAX
    }

    /// Counts a resumption; whether it is time to look at the clock.
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

    /// Has the clock be looked at after the next resumption.
    pub(super) fn look_next(&self) {
        self.left.set(1);
    }

    /// Whether the time of the turn is over. That of one that has none begins now.
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

    /// How long a turn takes in which each resumption takes as long as is told.
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
