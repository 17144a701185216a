//! System calls that block the calling thread until they are done, or until its token arrives.
//!
//! A thread that receives from a socket makes one system call, `recv`, which blocks. The call has to end when the
//! thread's token arrives: because of a request, of a group that has failed, or of any other code that unparks the
//! thread. So a waker interrupts the call by a signal, which makes it fail with `EINTR`. The thread then checks why it
//! was woken, and calls again if the reason does not concern it.
//!
//! # The protocol
//!
//! The **owner** is the thread that calls; each thread has one [`CallWord`], one lock and one park token.
//!
//! | the owner | |
//! |---|---|
//! | 1 | stores which thread it is, and `enter`s |
//! | 2 | begins to park; if a token is there already, it is consumed and the call is not made |
//! | 3 | makes the call |
//! | 4 | `leave`s; if a waker has interrupted it, it takes the lock and ends the signals |
//! | 5 | ends parking, which consumes the token |
//!
//! | a waker | |
//! |---|---|
//! | 1 | leaves the token; it goes on only if the owner had begun to park, and it is the first since then |
//! | 2 | takes the lock |
//! | 3 | `interrupt`s; if the owner makes no call, the waker wakes it from its condition variable, and is done |
//! | 4 | begins the signals, and releases the lock |
//!
//! **Signals** are sent by a timer of the kernel, one at once and then one each millisecond until the timer is deleted.
//! A single signal would not be enough: if it arrives after step 2 of the owner, before its system call has begun, the
//! handler returns and the call blocks. No instruction lies between the two at which the signal could be unblocked at
//! the same time (`ppoll` does that, but is one call more), so the signal is repeated until the owner has acknowledged
//! it by leaving. The kernel repeats it, so that a waker, which may be an executor, does not have to wait. If the
//! kernel refuses a timer (`RLIMIT_SIGPENDING` is reached, or a sandbox forbids it), the waker itself repeats the
//! signal, with pauses that grow from 10 microseconds to a millisecond, until the owner has left.
//!
//! # Why nothing is lost and no other code is disturbed
//!
//! - *No token is slept over.* The owner entered before it began to park. A waker that leaves a token either comes
//!   before the owner parks, and the call is not made, or sees that the owner parks, and therefore that it has entered.
//!   In the second case it finds the owner inside and signals until the owner has left, or the owner has left already.
//! - *Completion wins.* Nothing undoes a call: if it succeeded, its result is returned, whatever signals came. The
//!   kernel decides, and a call that it fails with `EINTR` has done nothing.
//! - *No signal arrives outside of the call.* A waker signals under the lock, and only while the word says that it
//!   interrupted. An owner that leaves such a call takes the lock, so the waker has signaled by then. Then it deletes
//!   the timer, after which the timer sends nothing, and every signal that was sent is pending. Linux handles the
//!   pending signals of a thread before a system call returns, in this case the deletion. So other code on the thread,
//!   above all C code, never sees an `EINTR` because of this library, and no signal needs to be blocked.
//! - *A thread that has ended is not signaled.* It has left, and so no waker signals it.
//! - *A late waker*, which comes after the owner has gone on, finds it outside or in another call, or finds that the
//!   block belongs to another thread. The call of that thread then fails with `EINTR` once without a reason, and is
//!   made again.
//!
//! A call that the kernel does not interrupt, such as a read from a disk, ends when it is complete.
//!
//! # The mask
//!
//! The signal must not be blocked in the owner during the call. Threads of a backend unblock it once, at the start
//! ([`claim_thread`](super::claim_thread)). Other threads unblock it for each call, and block it again if it was
//! blocked.
//!
//! The models of `tests/loom_call.rs` cover all of this, except the assumption that the kernel behaves as Linux
//! documents.

use super::call_word::CallWord;
use super::park_state::ParkState;
use crate::primitive::Lock;
use crate::sys::wake_signal::{self, Signals, ThreadId};

/// The lock under which a waker signals, and the signals that go on after it.
pub(super) type Signaling = Lock<Option<Signals>>;

/// The system call of a thread, as its wakers see it.
#[derive(Debug, Default)]
pub(super) struct Call {
    word: CallWord,
    /// The owner, while it is inside.
    thread: ThreadId,
}

impl Call {
    /// Interrupts the call. Returns false if there is none. `signaling` is the content of the lock.
    pub(super) fn interrupt(&self, signaling: &mut Option<Signals>) -> bool {
        let interrupts = self.word.interrupt();
        if interrupts {
            *signaling = self.thread.signal(|| self.word.is_interrupted());
        }
        interrupts
    }

    /// Makes a call as the owner, whose token is in `state`. Returns `None` if there was a token, in which case the
    /// call was not made.
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

/// Keeps the owner inside until this drops.
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
        // If the waker has left no signals to end, its last one may still be pending.
        if signals.is_none() {
            wake_signal::take_pending();
        }
    }
}
