//! How far a context goes before it lets others run, at points where it need not wait.
//!
//! Contexts that share a thread take turns where they wait. A context that always finds what it asks for would never
//! wait, so every call that could have waited counts against its turn. When the count is used up, the context asks its
//! backend whether it has run for long, and after a few of these questions it gives way in any case.

use std::cell::Cell;

/// What a point costs.
pub(super) const POINT: u32 = 1;

/// What an operation costs: without a wait it is a system call of the calling thread.
pub(super) const OPERATION: u32 = 2;

/// How much a turn costs between two looks at the time, at most: a look takes as long as one or two points.
const STEP_MAX: u32 = 32;

/// How many looks end a turn, however short it was.
const LOOKS_MAX: u32 = 4;

/// Where the looks are counted in the word of a turn; what is left is below.
const LOOK: u32 = 1 << 16;

/// The turn of one context.
#[derive(Debug)]
pub(super) struct Turn {
    /// What is left until the next look, and how many looks there were, times `LOOK`: one word, which is written each time
    /// the context is resumed.
    word: Cell<u32>,
    /// How much there is between two looks. It becomes small where the points of the context turn out to be far apart in
    /// time, and grows again while they are not.
    step: Cell<u32>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { word: Cell::new(STEP_MAX), step: Cell::new(STEP_MAX) }
    }
}

impl Turn {
    /// Begins a turn: the context runs after others could.
    #[inline]
    pub(super) fn begin(&self) {
        self.word.set(self.step.get());
    }

    /// Counts a call that could have waited; `false` when it is time for a look.
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

    /// What a look comes to: whether the context gives way now.
    pub(super) fn look(&self, has_run_long: bool) -> bool {
        let looks = self.word.get() / LOOK + 1;
        self.step.set(if has_run_long { POINT } else { (self.step.get() * 2).min(STEP_MAX) });
        self.word.set(looks * LOOK + self.step.get());
        has_run_long || looks >= LOOKS_MAX
    }

    /// Has the next look come as late as possible: nobody else waits for the thread.
    pub(super) fn prolong(&self) {
        self.word.set(LOOK - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many points pass before the turn is over.
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
