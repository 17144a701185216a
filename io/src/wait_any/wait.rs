//! The wait itself.
#![allow(unsafe_code)]

use super::Sources;
use super::sealed::{Arm, Arms};
use crate::Io;
use crate::cancel::Canceled;
use crate::context::{self, WaitEnd};
use crate::sync::Choice;
use crate::time::Instant;

/// Waits for one of the sources, takes it, and nothing of the others.
pub(crate) fn wait_any<S: Sources>(io: &dyn Io, sources: S) -> Result<S::Output, Canceled> {
    io.check_cancel()?;
    let index = match first(&sources, |arm| arm.poll(io)) {
        Some(index) => index,
        None => wait_slow(io, &sources)?,
    };
    Ok(sources.output(index, io))
}

/// Enters all arms, waits, and leaves them; says for which of them the choice was decided.
#[cold]
fn wait_slow(io: &dyn Io, arms: &dyn Arms) -> Result<usize, Canceled> {
    let choice = context::current(|context| {
        context.assert_may_suspend();
        Choice::new(context.unparker())
    });
    // Whatever happens in it, this frame and the arms' does not end before they have been left.
    context::or_abort(|| {
        // SAFETY: the arms are borrowed, and left below, before `choice` goes.
        let taken = first(arms, |arm| unsafe { arm.enter(&choice) });
        let decided = match taken {
            Some(_) => Ok(taken),
            None => wait_decided(io, arms, &choice),
        };
        let served = leave_all(arms);
        Ok(decided?.or(served).expect("whoever decides a choice takes something, or is given something"))
    })
}

/// Waits until the choice is decided. Says for which arm the waiter itself has done that.
///
/// # Errors
///
/// [`Canceled`]: for none.
fn wait_decided(io: &dyn Io, arms: &dyn Arms, choice: &Choice) -> Result<Option<usize>, Canceled> {
    let mut found = None;
    loop {
        let deadline = nearest(arms);
        let end = context::wait(io, deadline, || {
            if !choice.is_decided() {
                found = first(arms, |arm| arm.look(io, choice));
            }
            choice.is_decided() || nearest(arms) != deadline
        });
        match end {
            Ok(()) if choice.is_decided() => return Ok(found),
            Err(WaitEnd::Canceled(canceled)) if choice.decide() => return Err(canceled),
            // Completion wins, and the request stays pending.
            Err(WaitEnd::Canceled(canceled)) => {
                io.recancel(canceled);
                return Ok(None);
            }
            // To be looked at, or to be waited for until another time.
            Ok(()) | Err(WaitEnd::TimedOut) => {}
        }
    }
}

fn nearest(arms: &dyn Arms) -> Option<Instant> {
    all(arms).filter_map(Arm::deadline).min()
}

fn all(arms: &dyn Arms) -> impl Iterator<Item = &dyn Arm> {
    (0..).map_while(|index| arms.arm(index))
}

fn first(arms: &dyn Arms, found: impl FnMut(&dyn Arm) -> bool) -> Option<usize> {
    all(arms).position(found)
}

/// Leaves each arm; says for which of them others have decided the choice.
fn leave_all(arms: &dyn Arms) -> Option<usize> {
    all(arms).enumerate().fold(None, |served, (index, arm)| if arm.leave() { Some(index) } else { served })
}
