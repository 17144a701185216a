//! Ticks at equal distances.

use std::time::Duration;

use super::Instant;
use crate::Io;
use crate::cancel::Canceled;
use crate::sealed::Token;
use crate::select::{Fact, Selectable};

impl<'io> dyn Io + 'io {
    /// Ticks every `period`, the first of them now.
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
    /// When `period` is zero.
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(self.now(), period)
    }
}

/// Ticks at equal distances; from [`io.interval`](crate::Io#method.interval).
///
/// Ticks lie on a fixed grid, so that the time that is spent between them does not add up. What happens
/// when a tick was missed, [`MissedTicks`] says.
#[derive(Clone, Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTicks,
}

/// What an [`Interval`] does when its user comes after the next tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Makes up for the missed ones: they come at once, one after the other.
    #[default]
    Burst,
    /// Goes on from here: one comes at once, and the grid moves with it.
    Delay,
    /// Leaves them out: one comes at once, and the next where the grid has it.
    Skip,
}

impl Interval {
    /// The first tick comes at `first`, each other one `period` later.
    ///
    /// # Panics
    ///
    /// When `period` is zero.
    pub fn new(first: Instant, period: Duration) -> Self {
        assert!(!period.is_zero(), "the period of an interval is zero: its ticks would come without end");
        Self { next: first, period, missed: MissedTicks::default() }
    }

    /// What happens when a tick was missed. Default: [`MissedTicks::Burst`].
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// The distance of the ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// When the next tick comes.
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

    /// The next tick, as one of many things to [wait for](crate::Io#method.select). It is taken when it is the one
    /// that came.
    pub fn on_tick(&mut self) -> impl Selectable<Output = Instant> + '_ {
        Ticking(self)
    }

    /// Takes the next tick at `now`, which is not before it.
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

    /// The next tick comes a period from now.
    pub fn reset(&mut self, io: &dyn Io) {
        self.next = io.now() + self.period;
    }
}

/// The next tick of an interval on its way.
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

    /// The ticks that somebody takes who comes at these instants.
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
