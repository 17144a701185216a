//! Every call on files is a cancellation point. A canceled call has changed nothing, and works afterwards.

use std::fs as std_fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iolite_io::fs::{self, AtomicFile, Dir, DirBuilder, File, FileTimes, Map, MapAccess, OpenOptions, TryLockError};
use iolite_io::sync::Event;
use iolite_io::{Canceled, Io};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, scope};

pub(crate) const CASES: &[Case] = cases![
    a_file_call_that_is_canceled_has_changed_nothing,
    a_file_call_that_is_timed_out_has_changed_nothing,
    a_file_call_that_is_canceled_in_the_middle_tells_the_truth,
];

/// A folder, and its open files.
struct Ready {
    folder: tempfile::TempDir,
    dir: Dir,
    file: File,
}

impl Ready {
    fn new(io: &dyn Io) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std_fs::create_dir_all(folder.path().join("full/below")).expect("made");
        std_fs::create_dir(folder.path().join("empty")).expect("made");
        std_fs::write(folder.path().join("file"), "content").expect("written");
        std_fs::write(folder.path().join("full/file"), "more").expect("written");
        symlink("file", folder.path().join("link")).expect("linked");
        let file = OpenOptions::new().read(true).write(true).open(io, folder.path().join("file")).expect("opened");
        Self { dir: Dir::open(io, folder.path()).expect("opened"), file, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns its entire visible state.
    fn state(&self) -> Vec<(PathBuf, u32, u64, Option<SystemTime>, Option<Vec<u8>>)> {
        let mut state = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std_fs::read_dir(folder).expect("opened") {
                let path = entry.expect("read").path();
                let metadata = std_fs::symlink_metadata(&path).expect("there");
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                let content = metadata.is_file().then(|| std_fs::read(&path).expect("read"));
                state.push((path, metadata.mode(), metadata.nlink(), metadata.modified().ok(), content));
            }
        }
        state.sort();
        state
    }
}

type Point = fn(&dyn Io, &Ready) -> io::Result<()>;

const POINTS: &[(&str, Point)] = &[
    ("offload", |io, _| io.offload(|| ())),
    ("create_new", |io, ready| File::create_new(io, ready.path("new")).map(drop)),
    ("create", |io, ready| File::create(io, ready.path("file")).map(drop)),
    ("read_vectored", |io, ready| ready.file.read_vectored(io, &mut [IoSliceMut::new(&mut [0; 4])]).map(drop)),
    ("read_vectored_at", |io, ready| ready.file.read_vectored_at(io, &mut [IoSliceMut::new(&mut [0])], 1).map(drop)),
    ("write_vectored", |io, ready| ready.file.write_vectored(io, &[IoSlice::new(b"x")]).map(drop)),
    ("write_vectored_at", |io, ready| ready.file.write_vectored_at(io, &[IoSlice::new(b"x")], 3).map(drop)),
    ("empty vectored", |io, ready| ready.file.read_vectored(io, &mut []).map(drop)),
    ("file read_to_string", |io, ready| ready.file.read_to_string(io, &mut String::new()).map(drop)),
    ("set_len", |io, ready| ready.file.set_len(io, 3)),
    ("allocate", |io, ready| or_unsupported(ready.file.allocate(io, 0..4096))),
    ("reserve", |io, ready| or_unsupported(ready.file.reserve(io, 0..4096))),
    ("punch_hole", |io, ready| or_unsupported(ready.file.punch_hole(io, 0..4))),
    ("advise", |io, ready| ready.file.advise(io, 0..4, fs::Advice::WillNeed)),
    ("advise of nothing", |io, ready| ready.file.advise(io, 0..0, fs::Advice::WillNeed)),
    ("file metadata", |io, ready| ready.file.metadata(io).map(drop)),
    ("file set_permissions", |io, ready| ready.file.set_permissions(io, fs::Permissions::from_mode(0o600))),
    ("file set_owner", |io, ready| ready.file.set_owner(io, None, None)),
    ("file set_times", |io, ready| ready.file.set_times(io, FileTimes::new().set_modified(UNIX_EPOCH))),
    ("set_modified", |io, ready| ready.file.set_modified(io, UNIX_EPOCH)),
    ("lock", |io, ready| ready.file.lock(io)),
    ("lock_shared", |io, ready| ready.file.lock_shared(io)),
    ("try_lock", |io, ready| tried(ready.file.try_lock(io))),
    ("try_lock_shared", |io, ready| tried(ready.file.try_lock_shared(io))),
    ("unlock", |io, ready| ready.file.unlock(io)),
    ("map", |io, ready| Map::new(io, &ready.file, MapAccess::Read).map(drop)),
    ("dir open", |io, ready| Dir::open(io, ready.dir.at("full")).map(drop)),
    ("dir sync_all", |io, ready| ready.dir.sync_all(io)),
    ("read", |io, ready| fs::read(io, ready.path("file")).map(drop)),
    ("read_to_string", |io, ready| fs::read_to_string(io, ready.dir.at("file")).map(drop)),
    ("write", |io, ready| fs::write(io, ready.path("new"), "x")),
    ("write_atomic", |io, ready| fs::write_atomic(io, ready.path("file"), "x")),
    ("AtomicFile", |io, ready| AtomicFile::create(io, ready.dir.at("full/new")).map(drop)),
    ("temp_file", |io, ready| fs::temp_file(io, ready.folder.path()).map(drop)),
    ("copy", |io, ready| fs::copy(io, ready.path("file"), ready.path("new")).map(drop)),
    ("rename", |io, ready| fs::rename(io, ready.path("file"), ready.path("new"))),
    ("rename at", |io, ready| fs::rename(io, ready.dir.at("full/file"), ready.dir.at("empty/new"))),
    ("rename_noreplace", |io, ready| fs::rename_noreplace(io, ready.path("file"), ready.path("new"))),
    ("rename_exchange", |io, ready| fs::rename_exchange(io, ready.path("file"), ready.path("full"))),
    ("remove_file", |io, ready| fs::remove_file(io, ready.path("file"))),
    ("remove_dir", |io, ready| fs::remove_dir(io, ready.path("empty"))),
    ("remove_dir_all", |io, ready| fs::remove_dir_all(io, ready.dir.at("full"))),
    ("create_dir", |io, ready| fs::create_dir(io, ready.path("new"))),
    ("create_dir_all", |io, ready| fs::create_dir_all(io, ready.dir.at("new/and/more"))),
    ("create_dir_all that exists", |io, ready| fs::create_dir_all(io, ready.path("full"))),
    ("DirBuilder", |io, ready| DirBuilder::new().create(io, ready.path("new"))),
    ("metadata", |io, ready| fs::metadata(io, ready.path("file")).map(drop)),
    ("metadata at", |io, ready| fs::metadata(io, ready.dir.at("link")).map(drop)),
    ("symlink_metadata", |io, ready| fs::symlink_metadata(io, ready.path("link")).map(drop)),
    ("exists", |io, ready| fs::exists(io, ready.path("missing")).map(drop)),
    ("set_permissions", |io, ready| fs::set_permissions(io, ready.path("file"), fs::Permissions::from_mode(0o600))),
    ("chown", |io, ready| fs::chown(io, ready.path("file"), None, None)),
    ("lchown", |io, ready| fs::lchown(io, ready.path("link"), None, None)),
    ("set_times", |io, ready| fs::set_times(io, ready.path("file"), FileTimes::new().set_modified(UNIX_EPOCH))),
    ("hard_link", |io, ready| fs::hard_link(io, ready.path("file"), ready.path("new"))),
    ("symlink", |io, ready| fs::symlink(io, "x", ready.path("new"))),
    ("read_link", |io, ready| fs::read_link(io, ready.path("link")).map(drop)),
    ("canonicalize", |io, ready| fs::canonicalize(io, ready.path("link")).map(drop)),
    ("read_dir", |io, ready| fs::read_dir(io, ready.folder.path()).map(drop)),
];

fn or_unsupported(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

fn tried(result: Result<(), TryLockError>) -> io::Result<()> {
    result.map_err(|error| match error {
        TryLockError::Error(error) => error,
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
    })
}

fn a_file_call_that_is_canceled_has_changed_nothing(on: &On) {
    on.on_thread(|io| {
        for (name, point) in POINTS {
            let ready = Ready::new(io);
            let before = ready.state();
            let go = Event::new();
            scope(io, |group| {
                let member = concurrently(group, |io| {
                    go.wait_uncancelable(io);
                    (point(io, &ready), ready.state(), point(io, &ready))
                });
                member.request_cancel();
                go.set();
                let (first, after, second) = member.join(io);
                let error = first.err().unwrap_or_else(|| panic!("{name} is no cancellation point"));
                assert!(Canceled::is_in(&error), "{name}: {error}");
                assert_eq!(before, after, "{name}");
                second.unwrap_or_else(|error| panic!("{name}: the request was delivered: {error}"));
            });
        }
    });
}

/// On a plain thread, which only a timeout can cancel.
fn a_file_call_that_is_timed_out_has_changed_nothing(on: &On) {
    on.on_thread(|io| {
        for (name, point) in POINTS {
            let ready = Ready::new(io);
            let before = ready.state();
            let error = io.timeout(Duration::ZERO, |io| point(io, &ready)).err();
            let error = error.unwrap_or_else(|| panic!("{name} is no cancellation point"));
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name}: {error}");
            assert_eq!(before, ready.state(), "{name}");
            point(io, &ready).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
}

/// Each call is canceled at a moment that moves through it: it succeeds, or reports the cancellation.
fn a_file_call_that_is_canceled_in_the_middle_tells_the_truth(on: &On) {
    on.on_thread(|io| {
        for (name, point) in POINTS {
            for step in 0..6_u64 {
                let ready = Ready::new(io);
                let result = io.timeout(Duration::from_micros(step * 15), |io| point(io, &ready));
                if let Err(error) = result {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name}: {error}");
                }
                let leftovers = temporary_names(ready.folder.path());
                assert!(leftovers.is_empty(), "{name} left {leftovers:?} behind");
            }
        }
    });
}

fn temporary_names(folder: &Path) -> Vec<PathBuf> {
    let names = std_fs::read_dir(folder).expect("opened").map(|entry| entry.expect("read").path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "tmp")).collect()
}
