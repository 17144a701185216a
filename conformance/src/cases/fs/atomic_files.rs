//! Files that take the place of others, files that vanish, and files as memory.

use std::fs as std_fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::fs::{self, AtomicFile, Map, MapAccess, OpenOptions};
use iolite_io::{
    Canceled, Io,
    backend::Decorator,
    operation::{Operation, Output},
};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Random, concurrently, in_folder, note, panic_of, scope};

pub(crate) const CASES: &[Case] = cases![
    the_new_file_takes_the_old_ones_place,
    commit_new_replaces_nothing,
    errors_and_drops_leave_nothing_behind,
    canceled_at_each_stage_nothing_is_left_behind,
    readers_see_whole_files,
    a_temporary_file_has_no_name,
    a_map_reaches_the_file_and_shows_its_growth,
    a_temporary_file_loses_its_name_where_it_needs_one,
    owner_and_rights_are_the_old_ones,
    attributes_are_the_old_ones,
    a_link_is_replaced_wherever_it_leads,
    a_copy_for_another_owner_runs_as_nobody_else,
];

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std_fs::read_dir(folder)
        .expect("opened")
        .map(|entry| entry.expect("read").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

fn the_new_file_takes_the_old_ones_place(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        fs::write_atomic(io, &path, "first").expect("written");
        assert_eq!(std_fs::metadata(&path).expect("there").mode() & 0o666, 0o666 & !umask(folder));
        std_fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("set");
        let old = std_fs::File::open(&path).expect("opened");
        let new = AtomicFile::create(io, &path).expect("made");
        new.file().write_all(io, b"second").expect("written");
        assert_eq!(std_fs::read_to_string(&path).expect("there"), "first", "until it is committed");
        assert_eq!(names(folder).len(), 2);
        new.commit(io).expect("committed");
        assert_eq!(std_fs::read_to_string(&path).expect("there"), "second");
        assert_eq!(std_fs::metadata(&path).expect("there").mode() & 0o777, 0o604, "the old one's");
        assert_eq!(io::read_to_string(old).expect("it is open"), "first");
        assert_eq!(names(folder), ["file"]);
    });
}

/// Returns the process' mask, from the mode of a file that it has created.
fn umask(folder: &Path) -> u32 {
    let path = folder.join("mask");
    std_fs::write(&path, "").expect("written");
    let mode = std_fs::metadata(&path).expect("there").mode();
    std_fs::remove_file(&path).expect("there");
    0o666 & !mode
}

fn commit_new_replaces_nothing(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let commit = |text: &str| {
            let new = AtomicFile::create(io, &path)?;
            new.file().write_all(io, text.as_bytes())?;
            new.commit_new(io)
        };
        commit("first").expect("committed");
        assert_eq!(commit("second").expect_err("it exists").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std_fs::read_to_string(&path).expect("there"), "first");
        assert_eq!(names(folder), ["file"]);
    });
}

fn errors_and_drops_leave_nothing_behind(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::create_dir_all(folder.join("full/below")).expect("made");
        symlink("full", folder.join("link")).expect("linked");
        drop(AtomicFile::create(io, folder.join("file")).expect("made"));
        let error = fs::write_atomic(io, folder.join("full"), "x").expect_err("a directory");
        assert_eq!(error.raw_os_error(), Some(21));
        assert_eq!(
            fs::write_atomic(io, folder.join("missing/file"), "x").expect_err("missing").raw_os_error(),
            Some(2)
        );
        assert_eq!(fs::write_atomic(io, folder.join(".."), "x").expect_err("no name").raw_os_error(), Some(22));
        assert_eq!(names(folder), ["full", "link"]);
        fs::write_atomic(io, folder.join("link"), "x").expect("it takes the link's place");
        assert!(std_fs::symlink_metadata(folder.join("link")).expect("there").is_file());
    });
}

/// A call is canceled at any moment: then the old or the new content is there, as the result says, and nothing else.
fn canceled_at_each_stage_nothing_is_left_behind(on: &On) {
    in_folder(on, |io, folder| {
        let mut random = Random::new("canceled atomic files");
        let path = folder.join("file");
        let (mut written, mut canceled) = (0, 0);
        for round in 0..200_u32 {
            std_fs::write(&path, "old").expect("written");
            let limit = Duration::from_micros(random.below(600) * u64::from(round > 0));
            match io.timeout(limit, |io| fs::write_atomic(io, &path, [b'n'; 10_000])) {
                Ok(()) => {
                    written += 1;
                    assert!(std_fs::read(&path).expect("there") == [b'n'; 10_000]);
                }
                Err(error) => {
                    canceled += 1;
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                    assert_eq!(std_fs::read(&path).expect("there"), b"old");
                }
            }
            assert_eq!(names(folder), ["file"], "round {round}");
        }
        note(format_args!("{written} written, {canceled} canceled"));
        assert!(canceled > 0);
    });
}

/// Concurrent readers find one content or the other, complete.
fn readers_see_whole_files(on: &On) {
    in_folder(on, |io, folder| {
        let (path, done) = (&folder.join("file"), &AtomicBool::new(false));
        fs::write_atomic(io, path, [0; 5_000]).expect("written");
        scope(io, |group| {
            let reader = concurrently(group, move |io| {
                let mut reads = 0;
                while reads == 0 || !done.load(Ordering::SeqCst) {
                    let content = fs::read(io, path).expect("there");
                    assert!(content.len() == 5_000 && content.iter().all(|byte| *byte == content[0]));
                    reads += 1;
                }
            });
            (1..50).for_each(|byte| fs::write_atomic(io, path, [byte; 5_000]).expect("written"));
            done.store(true, Ordering::SeqCst);
            reader.join(io);
        });
        assert_eq!(names(folder), ["file"]);
    });
}

fn a_temporary_file_has_no_name(on: &On) {
    in_folder(on, |io, folder| {
        // Not every file system has files without a name; there is a way on all of them.
        for place in [folder, Path::new("/dev/shm")] {
            let before = names(place).len();
            let file = fs::temp_file(io, place).expect("made");
            file.write_all(io, b"nobody sees it").expect("written");
            let mut content = [0; 14];
            file.read_exact_at(io, &mut content, 0).expect("read");
            assert_eq!(&content, b"nobody sees it");
            let metadata = file.metadata(io).expect("told");
            assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (0, 0o600));
            assert!(place != folder || names(place).len() == before);
        }
        let missing = fs::temp_file(io, folder.join("missing")).expect_err("missing");
        assert_eq!(missing.raw_os_error(), Some(2));
    });
}

fn a_map_reaches_the_file_and_shows_its_growth(on: &On) {
    in_folder(on, |io: &dyn Io, folder| {
        let path = folder.join("file");
        let file = OpenOptions::new().read(true).write(true).create(true).open(io, &path).expect("made");
        assert!(Map::new(io, &file, MapAccess::ReadWrite).expect("mapped").is_empty());
        file.write_all(io, b"0123456789").expect("written");
        let map = Map::new(io, &file, MapAccess::ReadWrite).expect("mapped");
        assert_eq!((map.len(), map.write_at(b"xyz", 4)), (10, 3));
        map.flush(io).expect("on the disk");
        assert_eq!(std_fs::read(&path).expect("there"), b"0123xyz789");
        file.write_all_at(io, b"ab", 0).expect("written");
        let mut bytes = [0; 16];
        assert_eq!((map.read_at(&mut bytes, 0), &bytes[..10]), (10, &b"ab23xyz789"[..]));
        assert_eq!((map.read_at(&mut bytes, 8), map.read_at(&mut bytes, 10), map.read_at(&mut bytes, 99)), (2, 0, 0));
        assert_eq!((map.write_at(b"long", 8), map.write_at(b"x", 10), map.write_at(b"", 0)), (2, 0, 0));
        file.set_len(io, 20_000).expect("extended");
        let grown = Map::new(io, &file, MapAccess::Read).expect("mapped");
        let mut content = vec![1; 20_000];
        assert_eq!(grown.read_at(&mut content, 0), 20_000);
        assert_eq!(&content[..10], b"ab23xyz7lo");
        assert!(content[10..].iter().all(|byte| *byte == 0), "growth shows zeros");
        assert!(panic_of(|| grown.write_at(b"x", 0)).contains("for reading"));
        let read_only = std_fs::File::open(&path).expect("opened").into();
        Map::new(io, &read_only, MapAccess::Read).expect("mapped");
        let error = Map::new(io, &read_only, MapAccess::ReadWrite).expect_err("not for writing");
        assert_eq!(error.raw_os_error(), Some(13));
        let canceled = io.timeout(Duration::ZERO, |io| Map::new(io, &file, MapAccess::Read).map(drop));
        assert!(!Canceled::is_in(canceled.as_ref().expect_err("timed out")));
    });
}

/// A file system without unnamed files: it refuses the first file that is opened.
struct Nameless<'a> {
    io: &'a dyn Io,
    errno: i32,
    opened: AtomicUsize,
}

impl Decorator for Nameless<'_> {
    fn inner(&self) -> &dyn Io {
        self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        if matches!(operation, Operation::Open { .. }) && self.opened.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(io::Error::from_raw_os_error(self.errno));
        }
        self.io.operate(operation)
    }
}

fn a_temporary_file_loses_its_name_where_it_needs_one(on: &On) {
    in_folder(on, |io, folder| {
        let (not_supported, is_a_directory, denied) = (95, 21, 13);
        for errno in [not_supported, is_a_directory] {
            let nameless = Nameless { io, errno, opened: AtomicUsize::new(0) };
            let file = fs::temp_file(&nameless, folder).expect("made in another way");
            assert!(nameless.opened.into_inner() > 1, "another way");
            file.write_all(io, b"nobody sees it").expect("written");
            let mut content = [0; 14];
            file.read_exact_at(io, &mut content, 0).expect("read");
            assert_eq!(&content, b"nobody sees it");
            let metadata = file.metadata(io).expect("told");
            assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (0, 0o600));
            assert!(names(folder).is_empty(), "its name is gone");
        }
        let nameless = Nameless { io, errno: denied, opened: AtomicUsize::new(0) };
        assert_eq!(fs::temp_file(&nameless, folder).expect_err("denied").raw_os_error(), Some(denied));
    });
}

/// Returns the user, the group and the permission bits.
fn owner_of(path: &Path) -> (u32, u32, u32) {
    let metadata = std_fs::symlink_metadata(path).expect("there");
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

/// Creates a file with this user, group and mode. Returns true if this process may.
fn made(path: &Path, user: u32, group: u32, mode: u32) -> bool {
    std_fs::write(path, "old").expect("written");
    let may = chown(path, Some(user), Some(group)).is_ok();
    std_fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    may
}

fn owner_and_rights_are_the_old_ones(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        for (user, group, mode) in [(1234, 2345, 0o4755), (1234, 0, 0o2750), (0, 2345, 0o660), (1234, 2345, 0o600)] {
            if !made(&path, user, group, mode) {
                return on.not_run("it takes a user who may give files away");
            }
            fs::write_atomic(io, &path, "new").expect("written");
            assert_eq!(owner_of(&path), (user, group, mode));
            assert_eq!(std_fs::read_to_string(&path).expect("there"), "new");
            std_fs::remove_file(&path).expect("there");
        }
    });
}

/// Returns an access list that lets user 3456 read, in the kernel's form: its version, then the tag, rights and number
/// of each entry.
fn access_list() -> Vec<u8> {
    let entries = [(1_u16, 6_u16, u32::MAX), (2, 4, 3456), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let bytes = |(tag, rights, number): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &number.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(bytes).collect()].concat()
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn attributes_are_the_old_ones(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        std_fs::write(&path, "old").expect("written");
        for (name, value) in [("user.iolite", b"kept".to_vec()), ("system.posix_acl_access", access_list())] {
            match setxattr(&path, name, &value, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => return on.not_run("the file system has no such attributes"),
                result => result.expect("set"),
            }
        }
        let mode = owner_of(&path).2;
        fs::write_atomic(io, &path, "new").expect("written");
        assert_eq!(attribute(&path, "user.iolite").as_deref(), Some(b"kept".as_slice()));
        assert_eq!(attribute(&path, "system.posix_acl_access"), Some(access_list()));
        assert_eq!(owner_of(&path).2, mode);
        // The old file did not have the default rights that a folder gives to new files.
        let plain = folder.join("plain");
        std_fs::write(&plain, "old").expect("written");
        setxattr(folder, "system.posix_acl_default", &access_list(), XattrFlags::empty()).expect("set");
        fs::write_atomic(io, &plain, "new").expect("written");
        assert_eq!(attribute(&plain, "system.posix_acl_access"), None);
        fs::write_atomic(io, folder.join("fresh"), "new").expect("written");
        assert!(attribute(&folder.join("fresh"), "system.posix_acl_access").is_some(), "it had no old one");
    });
}

/// Links are absolute and relative, and lead to nothing, to themselves, and to names of the maximum length: the link is
/// replaced by a new file, and the target of the link is unchanged.
fn a_link_is_replaced_wherever_it_leads(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::create_dir(folder.join("folder")).expect("made");
        let target = folder.join("target");
        made(&target, 0, 0, 0o640);
        let fresh = 0o666 & !umask(folder);
        let long = "d/".repeat(2_040);
        let link = folder.join("link");
        for to in [
            Path::new("target"),
            &target,
            Path::new("missing"),
            Path::new("link"),
            Path::new("folder"),
            Path::new(&long),
        ] {
            symlink(to, &link).expect("linked");
            fs::write_atomic(io, &link, "new").unwrap_or_else(|error| panic!("{}: {error}", to.display()));
            assert!(std_fs::symlink_metadata(&link).expect("there").is_file());
            assert_eq!(owner_of(&link).2, fresh, "{}", to.display());
            assert_eq!(std_fs::read_to_string(&target).expect("there"), "old");
            std_fs::remove_file(&link).expect("there");
        }
        assert_eq!(names(folder), ["folder", "target"]);
        for end in ["target/", "target/.", "folder/", "missing/"] {
            let error = fs::write_atomic(io, folder.join(end), "new").expect_err("no name of a file");
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory, "{end}");
        }
    });
}

fn a_copy_for_another_owner_runs_as_nobody_else(on: &On) {
    in_folder(on, |io, folder| {
        let (from, to) = (folder.join("from"), folder.join("to"));
        if !made(&from, 0, 0, 0o6755) || !made(&to, 1234, 2345, 0o600) {
            return on.not_run("it takes a user who may give files away");
        }
        fs::copy(io, &from, &to).expect("copied");
        assert_eq!(owner_of(&to), (1234, 2345, 0o755));
        fs::copy(io, &from, folder.join("new")).expect("copied");
        assert_eq!(owner_of(&folder.join("new")).2 & 0o777, 0o755);
    });
}
