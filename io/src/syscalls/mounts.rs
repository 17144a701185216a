//! File metadata without waiting, as far as the kernel's caches have it.
//!
//! A caller that must not block asks in three calls. It looks up the name in the kernel's cache of names alone
//! (`RESOLVE_CACHED`), which fails if a disk or a server would have to be asked. It opens the file only to identify it
//! (`O_PATH`), of which no file system is told. Then it asks the open file for its metadata, with a flag that tells
//! file systems with a server not to ask that server (`AT_STATX_DONT_SYNC`). The answer of such file systems may be out
//! of date, so it counts only if the file system is one that keeps the metadata of open files in memory.
//!
//! The type of the file system is determined once for each mount, by a thread that may block. A mount has a number that
//! the kernel never reuses (since Linux 6.8; on older kernels, nothing is answered without waiting).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, fstatfs, openat2, statx};
use rustix::io::{Errno, retry_on_intr};

use super::files::{directory_of, place_of};
use crate::operation::{FileTarget, Metadata, PathAt};
use crate::primitive::Lock;

/// `STATX_MNT_ID_UNIQUE`, which rustix lacks.
const MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// The types (of `statfs`) of file systems that keep the metadata of open files in memory: ext2 to ext4, XFS, Btrfs,
/// F2FS, tmpfs, ramfs, SquashFS, EROFS, procfs, sysfs; and of overlays, on which containers have their roots.
///
/// A layer of an overlay may be on a server, and the overlay then answers from its cache. That answer counts too: while
/// an overlay is mounted, nobody may change its layers except through it (the kernel's documentation of overlayfs,
/// "Changes to underlying filesystems").
const LOCAL: [u64; 11] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0xF2F5_2010,
    0x0102_1994,
    0x8584_58F6,
    0x7371_7368,
    0xE0F5_E1E2,
    0x9FA0,
    0x6265_6572,
    0x794C_7630,
];

/// The maximum number of mounts that are remembered.
const MOUNTS_MAX: usize = 256;

/// The mounts whose file systems are known to answer, or not to answer, for the metadata of a file without waiting.
#[derive(Debug, Default)]
pub struct Mounts {
    are_local: Lock<BTreeMap<u64, bool>>,
}

/// The result of an attempt to get the metadata of a file.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it comes from, and never kept")]
pub enum Glance {
    /// The metadata of the file.
    Told(Metadata),
    /// There is no such file.
    NotFound,
    /// The caches do not have it.
    Untold,
    /// The caches might have it; the mount has to be [found out](Mounts::find_out) about first.
    UnknownMount,
}

impl Mounts {
    /// Tries to get the metadata of a file without waiting for a disk or for another party.
    pub fn glance(&self, of: FileTarget<'_>) -> Glance {
        let opened;
        let file = match of {
            FileTarget::Open(file) => file.as_fd(),
            FileTarget::Named { .. } => match open_path(of, ResolveFlags::CACHED) {
                Ok(file) => {
                    opened = file;
                    opened.as_fd()
                }
                Err(Errno::NOENT) => return Glance::NotFound,
                Err(_) => return Glance::Untold,
            },
        };
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let Ok(told) = statx(file, "", flags, Metadata::ASKED | MOUNT) else { return Glance::Untold };
        if told.stx_mask & MOUNT.bits() == 0 {
            return Glance::Untold;
        }
        match self.are_local.lock().get(&told.stx_mnt_id) {
            Some(true) => Glance::Told(told.into()),
            Some(false) => Glance::Untold,
            None => Glance::UnknownMount,
        }
    }

    /// Determines the type of the mount of a file. May block.
    pub fn find_out(&self, of: FileTarget<'_>) {
        let opened;
        let file = match of {
            FileTarget::Open(file) => file.as_fd(),
            FileTarget::Named { .. } => match retry_on_intr(|| open_path(of, ResolveFlags::empty())) {
                Ok(file) => {
                    opened = file;
                    opened.as_fd()
                }
                Err(_) => return,
            },
        };
        let Ok(told) = retry_on_intr(|| statx(file, "", AtFlags::EMPTY_PATH, MOUNT)) else { return };
        if told.stx_mask & MOUNT.bits() == 0 {
            return;
        }
        let is_local = fstatfs(file).is_ok_and(|system| LOCAL.contains(&(system.f_type as u64)));
        let mut are_local = self.are_local.lock();
        if are_local.len() >= MOUNTS_MAX {
            are_local.clear();
        }
        are_local.insert(told.stx_mnt_id, is_local);
    }
}

/// Opens a file as [`Operation::Open`](crate::operation::Operation::Open) does, if the kernel has its name in its cache
/// and the opening creates and changes nothing. Returns `None` if a caller that may wait has to open it. A named pipe
/// may lack its other end.
///
/// # Errors
///
/// Returns an error if there is no such file.
pub fn open_cached(at: PathAt<'_>, flags: OFlags) -> Option<rustix::io::Result<OwnedFd>> {
    if flags.intersects(OFlags::CREATE | OFlags::TRUNC) || flags.contains(OFlags::TMPFILE) {
        return None;
    }
    let resolve = ResolveFlags::CACHED | at.directory.map_or(ResolveFlags::empty(), |_| ResolveFlags::BENEATH);
    let waits = !flags.intersects(OFlags::NONBLOCK | OFlags::PATH);
    let asked = if waits { flags | OFlags::NONBLOCK } else { flags };
    match openat2(directory_of(at), at.path, asked, Mode::empty(), resolve) {
        Ok(file) if waits => match rustix::fs::fcntl_setfl(&file, flags - OFlags::CLOEXEC) {
            Ok(()) => Some(Ok(file)),
            Err(_) => None,
        },
        Ok(file) => Some(Ok(file)),
        Err(Errno::NOENT) => Some(Err(Errno::NOENT)),
        Err(_) => None,
    }
}

/// Opens a named file only to identify it.
fn open_path(of: FileTarget<'_>, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let (directory, path, at_flags) = place_of(of);
    let nofollow = if at_flags.contains(AtFlags::SYMLINK_NOFOLLOW) { OFlags::NOFOLLOW } else { OFlags::empty() };
    openat2(directory, path, OFlags::PATH | OFlags::CLOEXEC | nofollow, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::operation::AsPathAt;

    fn named(path: &Path, follow: bool) -> FileTarget<'_> {
        FileTarget::Named { at: path.locate(), follow }
    }

    #[test]
    fn what_is_known_of_a_file_is_told_once_its_mount_is_known() {
        let folder = std::env::temp_dir().join(format!("iolite-mounts-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "hello").unwrap();
        symlink("file", &link).unwrap();
        let mounts = Mounts::default();
        assert!(matches!(mounts.glance(named(&file, true)), Glance::UnknownMount | Glance::Untold));
        mounts.find_out(named(&file, true));
        match mounts.glance(named(&link, true)) {
            Glance::Told(metadata) => {
                assert!(metadata.is_file() && metadata.len() == 5);
                let Glance::Told(link) = mounts.glance(named(&link, false)) else { panic!("the link is cached too") };
                assert!(link.is_symlink());
                assert!(matches!(mounts.glance(named(&folder.join("none"), true)), Glance::NotFound | Glance::Untold));
            }
            other => eprintln!("note: nothing is told here without waiting: {other:?}"),
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_opened_from_the_cache_is_in_the_mode_that_was_asked_for() {
        let path = std::env::current_exe().unwrap();
        for flags in [OFlags::RDONLY, OFlags::RDONLY | OFlags::NONBLOCK, OFlags::PATH] {
            let Some(file) = open_cached(path.as_path().locate(), flags | OFlags::CLOEXEC) else {
                eprintln!("note: nothing is opened here without waiting");
                continue;
            };
            let modes = rustix::fs::fcntl_getfl(file.unwrap()).unwrap();
            assert_eq!(modes & (OFlags::NONBLOCK | OFlags::PATH), flags & (OFlags::NONBLOCK | OFlags::PATH));
        }
        assert!(open_cached(path.as_path().locate(), OFlags::RDWR | OFlags::TRUNC).is_none());
    }
}
