//! The wait of an executor that has nothing to run: the events that end it, and its duration.

use std::time::Duration;

use iolite_io::backend::monotonic_now;

use super::state::{Executor, Shutdown};
use crate::ring::Wait;

/// The time by which a timer may wake a sleeping executor too late, so that timers near each other cost one wake-up.
/// Linux allows itself the same for a sleeping thread.
const TIMER_SLACK: Duration = Duration::from_micros(50);

impl Executor {
    /// Returns the wait for the next turn of the ring.
    #[inline]
    pub(super) fn wait(&self) -> Wait {
        if !self.ready.is_empty() || self.overdue.get().is_some() || self.ring.has_collected() || self.can_start() {
            return Wait::No;
        }
        self.tell_load();
        self.registered.release_unused(&self.ring);
        if self.buffers.release_unused(&self.ring) {
            // A task may have been waiting for one of them.
            return Wait::No;
        }
        let trim_at = self.trim();
        let report_at = match self.shutdown.get() {
            Shutdown::Since(instant) => Some(instant),
            Shutdown::No | Shutdown::Reported | Shutdown::Over => None,
        };
        let retry_at = self.starved.get().filter(|_| self.has_unstarted());
        let timer_at = self.timers.next().map(|deadline| deadline + TIMER_SLACK);
        let deadline = [timer_at, report_at, retry_at, trim_at].into_iter().flatten().min();
        let nanos = deadline.map(|deadline| deadline.saturating_duration_since(monotonic_now()).as_nanos());
        if nanos == Some(0) || self.wait_patiently() {
            return Wait::No;
        }
        self.arm_event();
        // Making room for entries may have collected completions.
        if self.ring.has_collected() || !self.inbox.begin_sleep() {
            return Wait::No;
        }
        // This is repeated after the announcement: a thread that left something elsewhere before it did not wake this
        // executor.
        if self.runtime.executors().take_messages(self.index, |message| self.perform_message(message))
            || self.can_start()
            || self.runtime.is_closing() && !self.may_sleep_closing()
        {
            self.inbox.end_sleep();
            return Wait::No;
        }
        nanos.map_or(Wait::Forever, |nanos| Wait::Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Waits briefly for messages from other threads. Returns true if there were any. Completions do not count, because
    /// waiting for them in `enter` costs no more.
    fn wait_patiently(&self) -> bool {
        if !self.patience.pays() {
            return false;
        }
        self.ring.flush();
        self.patience.wait(|| self.inbox.has_left())
    }
}
