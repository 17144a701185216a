//! The wait itself.
#![allow(unsafe_code)]

use super::Selectable;
use super::sealed::{Arm, Arms};
use crate::Io;
use crate::cancel::Canceled;
use crate::context::{self, WaitEnd};
use crate::sealed::TOKEN;
use crate::time::Instant;
use crate::waiting::Choice;

impl<'io> dyn Io + 'io {
    /// Waits for the first of several sources, takes its output, and takes nothing from the others.
    ///
    /// If several sources are ready, the one that is written first wins. [The module `select`](mod@crate::select) lists
    /// all sources, and the macro [`select!`](crate::select!) gives the outputs names.
    ///
    /// ```
    /// use iolite_io::{Canceled, Io, sync::{RecvError, mpmc::Receiver}};
    ///
    /// /// Returns the next job of the most urgent queue that has one, and the number of that queue.
    /// fn next(io: &dyn Io, queues: &[Receiver<String>; 3]) -> Result<(usize, String), RecvError> {
    ///     let (queue, job) = io.select(queues.each_ref().map(Receiver::on_recv))?;
    ///     Ok((queue, job?))
    /// }
    /// ```
    ///
    /// Works in every context. Without a source, it waits for a cancellation.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if a source is ready. A canceled wait has taken nothing; an output that was handed
    /// over before the cancellation is still returned.
    ///
    /// # Errors
    ///
    /// [`Canceled`]. An error of the source is part of its output.
    pub fn select<S: Selectable>(&self, source: S) -> Result<S::Output, Canceled> {
        select(self, source)
    }
}

/// Waits for one of the arms of a source and takes its output. Takes nothing from the other arms.
fn select<S: Selectable>(io: &dyn Io, source: S) -> Result<S::Output, Canceled> {
    io.check_cancel()?;
    let arm = match source.poll_all(io, TOKEN) {
        Some(arm) => arm,
        None => wait_slow(io, &source)?,
    };
    Ok(source.output(arm, io, TOKEN))
}

/// Enters all arms, waits, and leaves them. Returns the arm for which the choice was decided.
#[cold]
fn wait_slow(io: &dyn Io, arms: &dyn Arms) -> Result<usize, Canceled> {
    let choice = context::current(|context| {
        context.assert_may_suspend();
        Choice::new(context.unparker())
    });
    // This frame and the frame of the arms must not end before the arms have been left, even if a panic occurs in
    // between.
    context::or_abort(|| {
        // SAFETY: the caller's frame owns the arms, which are borrowed until this function returns, and `choice` is a
        // local of this one: neither moves. `leave_all` leaves every arm before either ends, because a panic in
        // between aborts.
        let taken = first(arms, |arm| unsafe { arm.enter(&choice) });
        let decided = match taken {
            Some(_) => Ok(taken),
            None => wait_decided(io, arms, &choice),
        };
        let served = leave_all(arms);
        Ok(decided?.or(served).expect("a decided choice has taken something or was given something"))
    })
}

/// Waits until the choice is decided. Returns the arm for which the waiter itself has decided it, if it has.
///
/// # Errors
///
/// [`Canceled`] if the choice was decided for no arm.
fn wait_decided(io: &dyn Io, arms: &dyn Arms, choice: &Choice) -> Result<Option<usize>, Canceled> {
    let mut found = None;
    loop {
        let deadline = nearest(arms);
        let end = context::wait(io, deadline, || {
            if choice.is_decided() {
                return true;
            }
            found = first(arms, |arm| arm.look(io, choice));
            found.is_some() || choice.is_decided() || nearest(arms) != deadline
        });
        match end {
            Ok(()) if choice.is_decided() => return Ok(found),
            Err(WaitEnd::Canceled(canceled)) if choice.decide() => return Err(canceled),
            // Completion wins, and the request stays pending.
            Err(WaitEnd::Canceled(canceled)) => {
                io.recancel(canceled);
                return Ok(None);
            }
            // The waiter has to look at the arms, or to wait until another instant.
            Ok(()) | Err(WaitEnd::TimedOut) => {}
        }
    }
}

fn nearest(arms: &dyn Arms) -> Option<Instant> {
    let mut nearest: Option<Instant> = None;
    for_each(arms, |arm| {
        if let Some(deadline) = arm.deadline() {
            nearest = Some(nearest.map_or(deadline, |nearest| nearest.min(deadline)));
        }
    });
    nearest
}

/// Returns the number of the first arm for which `found` returns true; later arms are not asked.
fn first(arms: &dyn Arms, mut found: impl FnMut(&dyn Arm) -> bool) -> Option<usize> {
    let mut number = 0;
    let mut visitor = |arm: &dyn Arm| {
        let found = found(arm);
        number += usize::from(!found);
        found
    };
    arms.visit(&mut visitor, TOKEN).then_some(number)
}

fn for_each(arms: &dyn Arms, mut each: impl FnMut(&dyn Arm)) {
    arms.visit(
        &mut |arm| {
            each(arm);
            false
        },
        TOKEN,
    );
}

/// Leaves each arm. Returns the arm for which others have decided the choice.
fn leave_all(arms: &dyn Arms) -> Option<usize> {
    let (mut number, mut served) = (0, None);
    for_each(arms, |arm| {
        if arm.leave() {
            served = Some(number);
        }
        number += 1;
    });
    served
}
