//! What is known of a file without waiting, where the kernel's caches tell.
//!
//! Whoever must not block asks in three calls. The name is looked up in the kernel's cache of names alone
//! (`RESOLVE_CACHED`), which fails where a disk or a server would have to be asked. What it leads to is opened for nothing
//! (`O_PATH`), of which no file system hears. Then the open file is asked for its metadata, with a flag for file systems
//! that have a server not to ask it (`AT_STATX_DONT_SYNC`). What those say is perhaps out of date, so the answer
//! counts only where the file system is one that keeps in memory what is known of an open file.
//!
//! Which one that is, is asked once for each mount, by a thread that may block. A mount has a number that the
//! kernel never gives to another one (since Linux 6.8; before, nothing is told without waiting).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, fstatfs, openat2, statx};
use rustix::io::{Errno, retry_on_intr};

use super::files::{directory_of, place_of};
use crate::operation::{FileTarget, Metadata, PathAt};
use crate::primitive::Lock;

/// `STATX_MNT_ID_UNIQUE`, which rustix lacks.
const MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// The types (of `statfs`) of file systems that keep in memory what is known of an open file: ext2 to ext4, XFS, Btrfs,
/// F2FS, tmpfs, ramfs, SquashFS, EROFS, procfs, sysfs; and of overlays, which are made of such.
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

/// How many mounts are remembered.
const MOUNTS_MAX: usize = 256;

/// The mounts of which somebody has found out whether their file systems tell what is known of a file without waiting.
#[derive(Debug, Default)]
pub struct Mounts {
    are_local: Lock<BTreeMap<u64, bool>>,
}

/// What an attempt to tell the metadata of a file has come to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it comes from, and never kept")]
pub enum Glance {
    /// This is known of the file.
    Told(Metadata),
    /// There is no such file.
    NotFound,
    /// The caches do not tell.
    Untold,
    /// They might, if somebody [found out](Mounts::find_out) about the mount.
    UnknownMount,
}

impl Mounts {
    /// Attempts to tell what is known of a file, without waiting for a disk or for somebody.
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

    /// Finds out about the mount on which a file is. May block.
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

/// Opens a file in the way of [`Operation::Open`](crate::operation::Operation::Open), where the kernel knows its name and the opening
/// makes and changes nothing; `None` where it has to be opened by who may wait. A pipe may lack its other end.
///
/// # Errors
///
/// That there is no such file.
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

/// Opens what has a name, for nothing but to say which file that is.
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
