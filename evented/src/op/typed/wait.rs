//! Operations that wait: for time, descriptors, words of memory and children.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use io_uring::{opcode, types};

use super::{count, done, fd, operation};
use crate::sys;

operation! {
    /// Does nothing. Linux 5.1.
    Nop {} -> ();
    code: opcode::Nop;
    entry: |_nop, _frame| opcode::Nop::new();
    answer: |_nop, _frame, answer| done(answer);
}

/// The longest time that the kernel accepts.
const TIMEOUT_MAX: Duration = Duration::from_secs(i64::MAX as u64);

operation! {
    /// Waits until a time has passed, with a timer of the kernel. Linux 5.4.
    ///
    /// In programs, [`io.sleep`](iolite_io::Io#method.sleep) is cheaper: it needs no kernel timer.
    Timeout {
        /// The time to wait.
        duration: Duration,
    } -> ();
    code: opcode::Timeout;
    frame: types::Timespec;
    entry: |timeout, time| {
        *time = timeout.duration.min(TIMEOUT_MAX).into();
        opcode::Timeout::new(time)
    };
    answer: |_timeout, _time, answer| match answer {
        Err(error) if error.raw_os_error() == Some(sys::ETIME) => Ok(()),
        other => done(other),
    };
}

operation! {
    /// Waits until a descriptor is ready, or has an error or its end to report; returns `POLL*`. Linux 5.1.
    PollAdd<'a> {
        /// The descriptor to poll.
        descriptor: BorrowedFd<'a>,
        /// `POLL*`.
        events: i16,
    } -> i16;
    code: opcode::PollAdd;
    entry: |poll, _frame| opcode::PollAdd::new(fd(poll.descriptor), poll.events as u16 as u32);
    answer: |_poll, _frame, answer| answer.map(|events| events as i16);
}

/// Events that an epoll descriptor waits for, or has found.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct EpollEvent(sys::epoll_event);

impl EpollEvent {
    /// Makes an event from `EPOLL*` flags and the data that the events will carry.
    pub const fn new(events: u32, data: u64) -> Self {
        Self(sys::epoll_event { events, u64: data })
    }

    /// Returns the `EPOLL*` flags.
    pub const fn events(self) -> u32 {
        self.0.events
    }

    /// Returns the data that the event carries.
    pub const fn data(self) -> u64 {
        self.0.u64
    }
}

impl std::fmt::Debug for EpollEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EpollEvent").field("events", &self.events()).field("data", &self.data()).finish()
    }
}

operation! {
    /// Changes the events that an epoll descriptor waits for. Linux 5.6.
    EpollCtl<'a> {
        /// The epoll descriptor.
        epoll: BorrowedFd<'a>,
        /// `EPOLL_CTL_*`.
        change: i32,
        /// The descriptor that the change concerns.
        descriptor: BorrowedFd<'a>,
        /// The events to wait for.
        event: EpollEvent,
    } -> ();
    code: opcode::EpollCtl;
    entry: |change, _frame| opcode::EpollCtl::new(
        fd(change.epoll), fd(change.descriptor), change.change, (&raw const change.event).cast(),
    );
    answer: |_change, _frame, answer| done(answer);
}

operation! {
    /// Waits for an event of an epoll descriptor; returns the number of events. Linux 6.15.
    EpollWait<'a> {
        /// The epoll descriptor.
        epoll: BorrowedFd<'a>,
        /// The buffer for the events.
        events: &'a mut [EpollEvent],
    } -> usize;
    code: opcode::EpollWait;
    entry: |wait, _frame| opcode::EpollWait::new(
        fd(wait.epoll), wait.events.as_mut_ptr().cast(), wait.events.len().min(i32::MAX as usize) as u32,
    );
    answer: |_wait, _frame, answer| count(answer);
}

const FUTEX2_SIZE_U32: u32 = 2;
const FUTEX2_PRIVATE: u32 = 128;
const FUTEX_FLAGS: u32 = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;
/// Matches every mask.
const FUTEX_ANY: u64 = u32::MAX as u64;

operation! {
    /// Waits to be woken by a [`FutexWake`], or a `futex` call, of this process. It fails at once (`EAGAIN`) if the
    /// word is not `value`. Linux 6.7.
    FutexWait<'a> {
        /// The word.
        word: &'a AtomicU32,
        /// The expected value of the word.
        value: u32,
    } -> ();
    code: opcode::FutexWait;
    entry: |wait, _frame| opcode::FutexWait::new(
        wait.word.as_ptr(), wait.value.into(), FUTEX_ANY, FUTEX_FLAGS,
    );
    answer: |_wait, _frame, answer| done(answer);
}

operation! {
    /// Wakes waiters of a word in this process; returns their number. Linux 6.7.
    FutexWake<'a> {
        /// The word.
        word: &'a AtomicU32,
        /// The maximum number of waiters to wake.
        count: u32,
    } -> usize;
    code: opcode::FutexWake;
    entry: |wake, _frame| opcode::FutexWake::new(
        wake.word.as_ptr(), wake.count.into(), FUTEX_ANY, FUTEX_FLAGS,
    );
    answer: |_wake, _frame, answer| count(answer);
}

operation! {
    /// Waits as [`FutexWait`] does, for several words, at most 128; returns the index of one that was woken. Linux 6.7.
    FutexWaitV<'a> {
        /// The words and their expected values.
        words: &'a [(&'a AtomicU32, u32)],
    } -> usize;
    code: opcode::FutexWaitV;
    frame: Vec<types::FutexWaitV>;
    entry: |wait, room| {
        room.extend(wait.words.iter().map(|(word, value)| {
            types::FutexWaitV::new().uaddr(word.as_ptr() as u64).val((*value).into()).flags(FUTEX_FLAGS)
        }));
        // A number that exceeds the kernel's limit still exceeds it after the conversion.
        opcode::FutexWaitV::new(room.as_ptr(), u32::try_from(room.len()).unwrap_or(u32::MAX))
    };
    answer: |_wait, _room, answer| count(answer);
}

/// The child whose change of state to wait for.
#[derive(Clone, Copy, Debug)]
pub enum Child<'a> {
    /// Any child.
    Any,
    /// The child with this process id.
    Pid(u32),
    /// A child of this process group.
    Group(u32),
    /// The child of this pidfd.
    PidFd(BorrowedFd<'a>),
}

impl Child<'_> {
    fn to_kernel(self) -> (sys::idtype_t, sys::id_t) {
        match self {
            Child::Any => (sys::P_ALL, 0),
            Child::Pid(pid) => (sys::P_PID, pid),
            Child::Group(group) => (sys::P_PGID, group),
            Child::PidFd(descriptor) => (sys::P_PIDFD, sys::fd(descriptor).0 as sys::id_t),
        }
    }
}

/// A change of a child's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildState {
    /// The process id of the child.
    pub pid: i32,
    /// `CLD_*`.
    pub code: i32,
    /// The exit code of the child, or the signal.
    pub status: i32,
}

operation! {
    /// Waits for a child to change its state; with `WNOHANG` it returns nothing if none has. Linux 6.7.
    WaitId<'a> {
        /// The child to wait for.
        child: Child<'a>,
        /// `WEXITED`, `WSTOPPED`, `WCONTINUED`, `WNOHANG`, `WNOWAIT`.
        options: i32,
    } -> Option<ChildState>;
    code: opcode::WaitId;
    frame: Option<MaybeUninit<sys::siginfo_t>>;
    entry: |wait, room| {
        let (kind, id) = wait.child.to_kernel();
        let room = room.insert(MaybeUninit::zeroed());
        opcode::WaitId::new(kind, id, wait.options).infop(room.as_mut_ptr())
    };
    answer: |_wait, room, answer| child_state(room.unwrap_or(MaybeUninit::zeroed()), answer);
}

fn child_state(room: MaybeUninit<sys::siginfo_t>, answer: io::Result<u32>) -> io::Result<Option<ChildState>> {
    answer?;
    // SAFETY: it was zeroed, which is a valid value, and filled by the kernel, for SIGCHLD; the fields are numbers.
    let (info, pid, status) = unsafe {
        let info = room.assume_init();
        (info, info.si_pid(), info.si_status())
    };
    Ok((pid != 0).then_some(ChildState { pid, code: info.si_code, status }))
}
