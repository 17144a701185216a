//! Files that take the place of others, files that vanish, and files as memory.

use std::fs as std_fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::fs::{self, AtomicFile, Map, MapAccess, OpenOptions};
use iolite_io::{Canceled, Decorator, Io, Operation, Output};

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

/// The process' mask, read from what it has made of a file.
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

/// Canceled at any moment, the old content is there or the new, as the result says, and nothing else.
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

/// Whoever reads meanwhile finds one content or the other, whole.
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
        // Not every file system has files without a name; all have some way.
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

/// A file system that has no files without a name: the first file that is opened is refused.
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
