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

/// What the kernel takes for a time.
const TIMEOUT_MAX: Duration = Duration::from_secs(i64::MAX as u64);

operation! {
    /// Waits for a time to pass, by a timer of the kernel's. Linux 5.4.
    ///
    /// For programs, [`io.sleep`](iolite_io::Io#method.sleep) is cheaper: it needs none.
    Timeout {
        /// How long.
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
    /// Waits until a descriptor is ready, or has an error or an end to tell; brings `POLL*`. Linux 5.1.
    PollAdd<'a> {
        /// What can be polled.
        descriptor: BorrowedFd<'a>,
        /// `POLL*`.
        events: i16,
    } -> i16;
    code: opcode::PollAdd;
    entry: |poll, _frame| opcode::PollAdd::new(fd(poll.descriptor), poll.events as u16 as u32);
    answer: |_poll, _frame, answer| answer.map(|events| events as i16);
}

/// What an epoll descriptor waits for, or has found.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct EpollEvent(sys::epoll_event);

impl EpollEvent {
    /// `EPOLL*`, and what the events will carry.
    pub const fn new(events: u32, data: u64) -> Self {
        Self(sys::epoll_event { events, u64: data })
    }

    /// `EPOLL*`.
    pub const fn events(self) -> u32 {
        self.0.events
    }

    /// What it carries.
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
    /// Changes what an epoll descriptor waits for. Linux 5.6.
    EpollCtl<'a> {
        /// The epoll descriptor.
        epoll: BorrowedFd<'a>,
        /// `EPOLL_CTL_*`.
        change: i32,
        /// Of what.
        descriptor: BorrowedFd<'a>,
        /// For what to wait.
        event: EpollEvent,
    } -> ();
    code: opcode::EpollCtl;
    entry: |change, _frame| opcode::EpollCtl::new(
        fd(change.epoll), fd(change.descriptor), change.change, (&raw const change.event).cast(),
    );
    answer: |_change, _frame, answer| done(answer);
}

operation! {
    /// Waits for an event of an epoll descriptor; brings how many there are. Linux 6.15.
    EpollWait<'a> {
        /// The epoll descriptor.
        epoll: BorrowedFd<'a>,
        /// Where to put them.
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
/// Meets every mask.
const FUTEX_ANY: u64 = u32::MAX as u64;

operation! {
    /// Waits to be woken by a [`FutexWake`], or `futex`, of this process; fails at once (`EAGAIN`) if the word
    /// is not `value`. Linux 6.7.
    FutexWait<'a> {
        /// The word.
        word: &'a AtomicU32,
        /// What it is expected to be.
        value: u32,
    } -> ();
    code: opcode::FutexWait;
    entry: |wait, _frame| opcode::FutexWait::new(
        wait.word.as_ptr(), wait.value.into(), FUTEX_ANY, FUTEX_FLAGS,
    );
    answer: |_wait, _frame, answer| done(answer);
}

operation! {
    /// Wakes those of this process who wait for a word; brings how many. Linux 6.7.
    FutexWake<'a> {
        /// The word.
        word: &'a AtomicU32,
        /// How many at most.
        count: u32,
    } -> usize;
    code: opcode::FutexWake;
    entry: |wake, _frame| opcode::FutexWake::new(
        wake.word.as_ptr(), wake.count.into(), FUTEX_ANY, FUTEX_FLAGS,
    );
    answer: |_wake, _frame, answer| count(answer);
}

operation! {
    /// As [`FutexWait`], for several words, 128 at most; brings the index of one that was woken. Linux 6.7.
    FutexWaitV<'a> {
        /// The words, and what they are expected to be.
        words: &'a [(&'a AtomicU32, u32)],
    } -> usize;
    code: opcode::FutexWaitV;
    frame: Vec<types::FutexWaitV>;
    entry: |wait, room| {
        room.extend(wait.words.iter().map(|(word, value)| {
            types::FutexWaitV::new().uaddr(word.as_ptr() as u64).val((*value).into()).flags(FUTEX_FLAGS)
        }));
        // More than the kernel takes stay more than it takes.
        opcode::FutexWaitV::new(room.as_ptr(), u32::try_from(room.len()).unwrap_or(u32::MAX))
    };
    answer: |_wait, _room, answer| count(answer);
}

/// Whose change of state to wait for.
#[derive(Clone, Copy, Debug)]
pub enum Child<'a> {
    /// Any child's.
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
    /// Whose.
    pub pid: i32,
    /// `CLD_*`.
    pub code: i32,
    /// Its exit code, or the signal.
    pub status: i32,
}

operation! {
    /// Waits for a child to change its state; nothing if none has, with `WNOHANG`. Linux 6.7.
    WaitId<'a> {
        /// Whose.
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
    // SAFETY: zeroed, which is a value of it, and filled by the kernel, for SIGCHLD; the fields are numbers.
    let (info, pid, status) = unsafe {
        let info = room.assume_init();
        (info, info.si_pid(), info.si_status())
    };
    Ok((pid != 0).then_some(ChildState { pid, code: info.si_code, status }))
}
