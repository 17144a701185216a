//! Ticks at a fixed period.

use std::time::Duration;

use super::Instant;
use crate::Io;
use crate::cancel::Canceled;
use crate::sealed::Token;
use crate::select::{Fact, Selectable};

impl<'io> dyn Io + 'io {
    /// Makes an interval that ticks every `period`, for the first time now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::{Canceled, Io, time::MissedTicks};
    ///
    /// fn beat(io: &dyn Io) -> Result<(), Canceled> {
    ///     let mut beats = io.interval(Duration::from_secs(1)).missed_ticks(MissedTicks::Skip);
    ///     loop {
    ///         beats.tick(io)?;
    ///         println!("beat");
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `period` is zero.
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(self.now(), period)
    }
}

/// Ticks at a fixed period; from [`io.interval`](crate::Io#method.interval).
///
/// Ticks lie on a fixed grid, so the time that the program spends between them does not add up. [`MissedTicks`] says
/// what happens when the program comes too late for a tick.
#[derive(Clone, Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTicks,
}

/// Says what an [`Interval`] does when its user comes after the next tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Makes up for the missed ticks: they come at once, one after the other.
    #[default]
    Burst,
    /// Delays the grid: one tick comes at once, and the grid moves with it.
    Delay,
    /// Skips the missed ticks: one tick comes at once, and the next one at its place on the grid.
    Skip,
}

impl Interval {
    /// Makes an interval whose first tick comes at `first` and each other tick one `period` later.
    ///
    /// # Panics
    ///
    /// Panics if `period` is zero.
    pub fn new(first: Instant, period: Duration) -> Self {
        assert!(!period.is_zero(), "the period of an interval is zero: its ticks would come without end");
        Self { next: first, period, missed: MissedTicks::default() }
    }

    /// Sets what happens when a tick was missed. Default: [`MissedTicks::Burst`].
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Returns the period between ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns the instant of the next tick.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Waits for the next tick and returns the instant for which it was planned.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A canceled wait takes no tick.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn tick(&mut self, io: &dyn Io) -> Result<Instant, Canceled> {
        io.sleep_until(self.next)?;
        Ok(self.take(io.now()))
    }

    /// Returns a source that is ready at the next tick. The tick is taken only if this source is. For
    /// [`select`](crate::Io#method.select).
    pub fn on_tick(&mut self) -> impl Selectable<Output = Instant> + '_ {
        Ticking(self)
    }

    /// Takes the next tick at `now`, which must not be before it.
    fn take(&mut self, now: Instant) -> Instant {
        let tick = self.next;
        self.next = match self.missed {
            MissedTicks::Burst => tick + self.period,
            MissedTicks::Delay if tick + self.period <= now => now + self.period,
            MissedTicks::Delay => tick + self.period,
            MissedTicks::Skip => {
                let late = (now - tick).as_nanos();
                let into_period = Duration::from_nanos((late % self.period.as_nanos()) as u64);
                now + (self.period - into_period)
            }
        };
        tick
    }

    /// Moves the grid: the next tick comes one period from now.
    pub fn reset(&mut self, io: &dyn Io) {
        self.next = io.now() + self.period;
    }
}

/// The next tick of an interval as a source.
pub(crate) struct Ticking<'a>(&'a mut Interval);

impl Selectable for Ticking<'_> {
    type Output = Instant;

    fn output(self, _: usize, io: &dyn Io, _: Token) -> Instant {
        self.0.take(io.now())
    }
}

impl Fact for Ticking<'_> {
    fn is_there(&self, io: &dyn Io) -> bool {
        self.0.next.is_there(io)
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.0.next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Interval, MissedTicks};
    use crate::time::Instant;

    /// Returns the ticks that a user gets by asking for one at each of these instants.
    fn ticks(missed: MissedTicks, come_at: &[u64]) -> Vec<u64> {
        let mut interval = Interval::new(Instant::from_nanos(100), Duration::from_nanos(10)).missed_ticks(missed);
        come_at.iter().map(|now| interval.take(Instant::from_nanos(*now)).as_nanos()).collect()
    }

    #[test]
    fn ticks_lie_on_the_grid() {
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            assert_eq!(ticks(missed, &[100, 113, 129, 130]), [100, 110, 120, 130], "{missed:?}");
        }
    }

    #[test]
    fn missed_ticks_come_as_was_asked_for() {
        assert_eq!(ticks(MissedTicks::Burst, &[135, 135, 135, 135, 140]), [100, 110, 120, 130, 140]);
        assert_eq!(ticks(MissedTicks::Delay, &[135, 145, 155]), [100, 145, 155]);
        assert_eq!(ticks(MissedTicks::Skip, &[135, 140, 150]), [100, 140, 150]);
        assert_eq!(ticks(MissedTicks::Skip, &[120, 130]), [100, 130], "a tick that is due now is the one that comes");
    }

    #[test]
    #[should_panic(expected = "the period of an interval is zero")]
    fn without_a_period_there_is_no_interval() {
        let _ = Interval::new(Instant::ZERO, Duration::ZERO);
    }
}
