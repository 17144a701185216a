//! System calls that block the calling thread until they are done, or until its token arrives.
//!
//! A thread that receives from a socket makes one system call, `recv`, which blocks. What has to end it is a token:
//! that of a request, of a group that has failed, of anybody else who unparks the thread. So a waker interrupts the
//! call by a signal, which makes it fail with `EINTR`; the thread then looks why it was woken, and calls again if that
//! was none of its business.
//!
//! # The protocol
//!
//! The **owner** is the thread that calls; each thread has one [`CallWord`], one lock and one park token.
//!
//! | the owner | |
//! |---|---|
//! | 1 | says which thread it is, and `enter`s |
//! | 2 | begins to park; a token that is there already is consumed, and the call not made |
//! | 3 | makes the call |
//! | 4 | `leave`s; where a waker has interrupted it, it takes the lock and ends the signals |
//! | 5 | ends to park, which consumes the token |
//!
//! | a waker | |
//! |---|---|
//! | 1 | leaves the token; it goes on only when the owner had begun to park, and it is the first since then |
//! | 2 | takes the lock |
//! | 3 | `interrupt`s; where the owner makes no call, it wakes it from its condition variable, and is done |
//! | 4 | begins the signals, and gives the lock back |
//!
//! **Signals** are a timer of the kernel, which sends one to the owner each millisecond until it is deleted, and one
//! more that is sent at once. A single one would not do: where it arrives after step 2 of the owner, before its system
//! call has begun, the handler returns and the call blocks. No instruction lies between the two where the signal could
//! be unblocked at the same time (`ppoll` does that, and is one call more), so it is repeated until the owner has
//! acknowledged it, by leaving. The kernel repeats, so that a waker, which may be an executor, waits for nobody. Where
//! it refuses a timer (`RLIMIT_SIGPENDING` is reached, or a sandbox forbids it), the waker itself repeats, with pauses
//! that grow from 10 microseconds to a millisecond, until the owner has left.
//!
//! # Why nothing is lost, and nothing too much
//!
//! - *A token is never slept over.* The owner entered before it began to park. A waker that leaves a token either comes
//!   before the latter, and the call is not made, or it sees that the owner parks, and so that it has entered. In
//!   that case it finds the owner inside and signals until that has left, or the owner has left already.
//! - *Completion wins.* Nothing undoes a call: when it succeeded, its result is returned, whatever signals came. The
//!   kernel decides, and a call that it fails with `EINTR` has done nothing.
//! - *No signal comes outside of the call.* A waker signals under the lock and only while the word says that it
//!   interrupted. The owner that leaves such a call takes the lock: the waker has signaled. Then it deletes the timer,
//!   after which that sends nothing, and every signal that was sent is pending. Linux handles the pending signals of a
//!   thread before a system call, here that of the deletion, returns. So other code on the thread, C code above all,
//!   never sees an `EINTR` for which we are the reason, and no signal needs to be blocked.
//! - *A thread that ends is not signaled.* It has left, and so no waker signals.
//! - *A waker that comes late*, after the owner has gone on, finds it outside or in another call, or the block with
//!   another thread. That one's call then fails with `EINTR` once for nothing, and is made again.
//!
//! What the kernel does not interrupt, a read from a disk for instance, ends when it ends.
//!
//! # The mask
//!
//! The signal must not be blocked in the owner during the call. Threads of a backend unblock it once and for all
//! ([`claim_thread`](super::claim_thread)); other threads for each call, and they block it again where it was blocked.
//!
//! The models of `tests/loom_call.rs` hold all of these but that the kernel does as Linux says.

use super::call_word::CallWord;
use super::park_state::ParkState;
use crate::primitive::Lock;
use crate::sys::wake_signal::{self, Signals, ThreadId};

/// The lock that a waker signals under, and the signals that go on after it.
pub(super) type Signaling = Lock<Option<Signals>>;

/// The call that a thread makes, for its wakers.
#[derive(Debug, Default)]
pub(super) struct Call {
    word: CallWord,
    /// The owner, while it is inside.
    thread: ThreadId,
}

impl Call {
    /// Interrupts the call; `false` when there is none. `signaling` is what the lock guards.
    pub(super) fn interrupt(&self, signaling: &mut Option<Signals>) -> bool {
        let interrupts = self.word.interrupt();
        if interrupts {
            *signaling = self.thread.signal(|| self.word.is_interrupted());
        }
        interrupts
    }

    /// Makes a call as the owner, whose token `state` has; `None` when a token was there, and it was not made.
    #[inline]
    pub(super) fn make<T>(
        &self,
        state: &ParkState,
        signaling: &Signaling,
        call: impl FnOnce(&ThreadId) -> T,
    ) -> Option<T> {
        self.thread.set();
        self.word.enter();
        let _inside = Inside { call: self, state, signaling };
        state.begin_park().then(|| call(&self.thread))
    }
}

/// The owner is inside until this drops.
struct Inside<'a> {
    call: &'a Call,
    state: &'a ParkState,
    signaling: &'a Signaling,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.call.word.leave() {
            self.end_signals();
        }
        self.state.end_park();
    }
}

impl Inside<'_> {
    #[cold]
    fn end_signals(&self) {
        let signals = self.signaling.lock().take();
        // As far as the waker has left none, there may be its last one.
        if signals.is_none() {
            wake_signal::take_pending();
        }
    }
}
