//! Turns: how far a context goes before it lets others run, at points where it does not have to wait.
//!
//! Contexts that share a thread take turns where they wait. A context that always finds what it asks for would never
//! wait, so every call that could have waited counts against its turn. When the count is used up, the context asks its
//! backend whether it has run for long, and after a few of these questions it gives way in any case.

use std::cell::Cell;

/// The cost of a point.
pub(super) const POINT: u32 = 1;

/// The cost of an operation: without a wait it is a system call of the calling thread.
pub(super) const OPERATION: u32 = 2;

/// The maximum cost between two looks at the time: a look takes as long as one or two points.
const STEP_MAX: u32 = 32;

/// The number of looks that end a turn, however short it was.
const LOOKS_MAX: u32 = 4;

/// The unit in which the word of a turn counts looks; the bits below hold the remaining cost.
const LOOK: u32 = 1 << 16;

/// The turn of one context.
#[derive(Debug)]
pub(super) struct Turn {
    /// The cost that remains until the next look, and the number of looks so far, times `LOOK`: one word, which is
    /// written each time that the context is resumed.
    word: Cell<u32>,
    /// The cost between two looks. It shrinks if the points of the context are far apart in time, and grows again if
    /// they are not.
    step: Cell<u32>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { word: Cell::new(STEP_MAX), step: Cell::new(STEP_MAX) }
    }
}

impl Turn {
    /// Begins a turn: the context runs after others could run.
    #[inline]
    pub(super) fn begin(&self) {
        self.word.set(self.step.get());
    }

    /// Counts a call that could have waited. Returns false if it is time for a look.
    #[inline]
    #[must_use]
    pub(super) fn spend(&self, cost: u32) -> bool {
        let word = self.word.get();
        let is_left = word % LOOK > cost;
        if is_left {
            self.word.set(word - cost);
        }
        is_left
    }

    /// Records the result of a look. Returns true if the context gives way now.
    pub(super) fn look(&self, has_run_long: bool) -> bool {
        let looks = self.word.get() / LOOK + 1;
        self.step.set(if has_run_long { POINT } else { (self.step.get() * 2).min(STEP_MAX) });
        self.word.set(looks * LOOK + self.step.get());
        has_run_long || looks >= LOOKS_MAX
    }

    /// Delays the next look as long as possible, because no other context waits for the thread.
    pub(super) fn prolong(&self) {
        self.word.set(LOOK - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of points that pass before the turn is over.
    fn points(turn: &Turn, cost: u32, has_run_long: impl Fn(u32) -> bool) -> u32 {
        turn.begin();
        for points in 1.. {
            if !turn.spend(cost) && turn.look(has_run_long(points)) {
                return points;
            }
        }
        unreachable!("a turn ends")
    }

    #[test]
    fn a_turn_ends_after_so_many_points() {
        let turn = Turn::default();
        for _ in 0..3 {
            assert_eq!(points(&turn, POINT, |_| false), STEP_MAX * LOOKS_MAX);
            assert_eq!(points(&turn, OPERATION, |_| false), STEP_MAX / OPERATION * LOOKS_MAX);
        }
    }

    #[test]
    fn a_context_whose_points_are_far_apart_is_looked_at_more_often() {
        let turn = Turn::default();
        assert_eq!(points(&turn, POINT, |_| true), STEP_MAX, "nobody could know");
        assert_eq!(points(&turn, POINT, |_| true), 1);
        assert_eq!(points(&turn, POINT, |_| true), 1);
        for _ in 0..3 {
            points(&turn, POINT, |_| false);
        }
        assert_eq!(points(&turn, POINT, |_| false), STEP_MAX * LOOKS_MAX, "it has changed");
    }
}
