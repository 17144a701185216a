//! What is Linux's in this crate, beside io_uring itself: the errors, flags and structures of entries.

pub(crate) mod message;

use std::os::fd::{AsFd, AsRawFd};

use io_uring::types::Fd;

/// Names a descriptor in an entry. The caller keeps it open until the entry has completed.
pub(crate) fn fd(descriptor: impl AsFd) -> Fd {
    Fd(descriptor.as_fd().as_raw_fd())
}

pub(crate) use libc::{
    AT_REMOVEDIR, EACCES, EAGAIN, EALREADY, EBUSY, ECANCELED, EINPROGRESS, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS,
    ENOENT, ENOMEM, ENOSYS, ENXIO, EOPNOTSUPP, EPERM, ETIME, MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK,
    MSG_WAITALL, MSG_ZEROCOPY, O_CLOEXEC, P_ALL, P_PGID, P_PID, P_PIDFD, POLLIN, SHUT_RD, SHUT_RDWR, SHUT_WR,
    SOCK_CLOEXEC, SPLICE_F_NONBLOCK, c_int, epoll_event, id_t, idtype_t, iovec, siginfo_t, statx,
};
