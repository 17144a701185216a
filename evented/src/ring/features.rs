//! The features of the running kernel.

use std::io;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};
use iolite_io::backend::{Context, current, explained, monotonic_now, park};

use super::closed::{may_be_freed_soon, note_close};
use crate::sys;

/// The features of a ring on this kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Features {
    /// The names of the features in use, for [`Io::backend`](iolite_io::Io::backend).
    names: Vec<&'static str>,
    /// The operations that the kernel has, by opcode.
    opcodes: Vec<bool>,
}

impl Features {
    /// Returns the names, separated by commas.
    pub(crate) fn names(&self) -> String {
        self.names.join(", ")
    }

    /// Returns true if the kernel has an operation.
    pub(crate) fn supports(&self, code: u8) -> bool {
        self.opcodes.get(usize::from(code)) == Some(&true)
    }

    /// Returns true if completions wait for a call of the ring's thread.
    pub(crate) fn defers(&self) -> bool {
        self.names.contains(&DEFERS)
    }

    /// Returns true if the ring has the file operations besides opening, reading and writing.
    pub(crate) fn does_files(&self) -> bool {
        self.names.contains(&FILES)
    }
}

/// The operations that this backend always needs, by opcode.
const OPCODES: [(u8, &str); 15] = [
    (opcode::Nop::CODE, "nop"),
    (opcode::Accept::CODE, "accept"),
    (opcode::Connect::CODE, "connect"),
    (opcode::Recv::CODE, "recv"),
    (opcode::Send::CODE, "send"),
    (opcode::RecvMsg::CODE, "recvmsg"),
    (opcode::SendMsg::CODE, "sendmsg"),
    (opcode::PollAdd::CODE, "poll"),
    (opcode::AsyncCancel::CODE, "cancel"),
    (opcode::Read::CODE, "read"),
    (opcode::Write::CODE, "write"),
    (opcode::Splice::CODE, "splice"),
    (opcode::OpenAt::CODE, "openat"),
    (opcode::OpenAt2::CODE, "openat2"),
    (opcode::Close::CODE, "close"),
];

/// The operations that file operations by name, and the rarer ones on open files, need. Either all of them are used or
/// none.
const FILE_OPCODES: [u8; 8] = [
    opcode::Statx::CODE,
    opcode::Fallocate::CODE,
    opcode::RenameAt::CODE,
    opcode::UnlinkAt::CODE,
    opcode::MkDirAt::CODE,
    opcode::SymlinkAt::CODE,
    opcode::LinkAt::CODE,
    opcode::Ftruncate::CODE,
];

/// The name of the feature that completions wait for a call of the ring's thread (Linux 6.1).
const DEFERS: &str = "defer-taskrun";

/// The name of the feature that the ring has [`FILE_OPCODES`] (Linux 6.9).
const FILES: &str = "files";

/// Checks that a ring can be made here.
///
/// # Errors
///
/// An error with the cause in words: io_uring is missing (old kernel) or denied (seccomp, `io_uring_disabled`), there
/// is no memory, or this kernel does not have an operation.
pub(crate) fn probe() -> io::Result<()> {
    let _ring = build(8, 16)?;
    note_close();
    Ok(())
}

/// Makes a ring with the best flags that the kernel accepts.
pub(super) fn build(sq_entries: u32, cq_entries: u32) -> io::Result<(IoUring, Features)> {
    let mut entries = (sq_entries, cq_entries);
    let give_up = monotonic_now() + FREEING_MAX;
    let (ring, mut features) = loop {
        match build_flags(entries.0, entries.1) {
            // The memory of the rings that this process has closed comes back soon. A fiber may ask, so the context waits
            // and not the thread.
            Err(error)
                if error.raw_os_error() == Some(sys::ENOMEM)
                    && may_be_freed_soon()
                    && monotonic_now() < give_up
                    && current(Context::may_suspend) =>
            {
                park(Some(monotonic_now() + FREEING_PAUSE));
            }
            // The cause is RLIMIT_MEMLOCK, so a smaller ring may fit.
            Err(error) if error.raw_os_error() == Some(sys::ENOMEM) && entries.0 > 8 => {
                entries = (entries.0 / 2, entries.1 / 2);
            }
            other => break other.map_err(explain)?,
        }
    };
    features.opcodes = require(&ring)?;
    if FILE_OPCODES.iter().all(|code| features.supports(*code)) {
        features.names.push(FILES);
    }
    if ring.params().is_feature_fast_poll() {
        features.names.push("fast-poll");
    }
    // File operations that would block run on kernel threads, which count as ours, so there should be few.
    if bound_workers(&ring, 0).is_ok() {
        features.names.push("bounded-workers");
    }
    Ok((ring, features))
}

/// The longest wait for the kernel to free rings of this process, and the pause between two looks.
const FREEING_MAX: Duration = Duration::from_secs(2);
const FREEING_PAUSE: Duration = Duration::from_millis(1);

/// Limits the kernel's threads for the rings of the calling thread: to the usual number plus `kept`.
pub(super) fn bound_workers(ring: &IoUring, kept: u32) -> io::Result<()> {
    ring.submitter().register_iowq_max_workers(&mut [IO_WORKERS_MAX + kept, SPLICE_WORKERS_MAX])
}

/// The maximum number of kernel threads of one ring for file operations.
const IO_WORKERS_MAX: u32 = 2;

/// The maximum number of kernel threads of one ring for operations that may wait for other things than disks. The only
/// such operation of this backend is splicing, and it too waits for disks here.
const SPLICE_WORKERS_MAX: u32 = 4;

fn build_flags(sq_entries: u32, cq_entries: u32) -> io::Result<(IoUring, Features)> {
    let mut best = IoUring::builder();
    best.setup_cqsize(cq_entries).setup_clamp().setup_submit_all();
    let mut plain = best.clone();
    plain.setup_coop_taskrun().setup_taskrun_flag();
    let mut oldest = IoUring::builder();
    oldest.setup_cqsize(cq_entries).setup_clamp();
    best.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    let mut newest = best.clone();
    newest.setup_no_sqarray();

    let steps = [
        (newest, &[DEFERS, "single-issuer", "no-sqarray"][..]),
        (best, &[DEFERS, "single-issuer"]),
        (plain, &["coop-taskrun"]),
        (oldest, &[]),
    ];
    let mut last = io::Error::from_raw_os_error(sys::EINVAL);
    for (builder, names) in steps {
        match builder.build(sq_entries) {
            Ok(ring) => return Ok((ring, Features { names: names.to_vec(), opcodes: Vec::new() })),
            // This kernel does not know one of the flags.
            Err(error) if error.raw_os_error() == Some(sys::EINVAL) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Returns the operations that the kernel has, by opcode, or an error if this backend needs one that is missing.
fn require(ring: &IoUring) -> io::Result<Vec<bool>> {
    let unsupported =
        |what: &str| io::Error::new(io::ErrorKind::Unsupported, format!("this kernel's io_uring lacks {what}"));
    if !ring.params().is_feature_ext_arg() {
        return Err(unsupported("waiting with a timeout (EXT_ARG, Linux 5.11)"));
    }
    if !ring.params().is_feature_nodrop() {
        return Err(unsupported("lossless completions (NODROP, Linux 5.5)"));
    }
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|_| unsupported("the probe of operations (Linux 5.6)"))?;
    match OPCODES.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(unsupported(&format!("the operation `{name}`"))),
        None => Ok((0..=u8::MAX).map(|code| probe.is_supported(code)).collect()),
    }
}

fn explain(error: io::Error) -> io::Error {
    let cause = match error.raw_os_error() {
        Some(sys::ENOSYS) => "this kernel has no io_uring",
        Some(sys::EPERM | sys::EACCES) => {
            "io_uring is denied here (by seccomp, as in many containers, or by the sysctl kernel.io_uring_disabled)"
        }
        Some(sys::ENOMEM) => "there is no memory for a ring (RLIMIT_MEMLOCK: see `ulimit -l`)",
        Some(sys::EMFILE | sys::ENFILE) => "there is no free descriptor for a ring (see `ulimit -n`)",
        Some(sys::EINVAL) => "this kernel's io_uring is too old",
        _ => "io_uring cannot be set up",
    };
    explained(error.kind(), cause, error)
}
