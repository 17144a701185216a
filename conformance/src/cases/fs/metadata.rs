//! Metadata of files, read and set.

use std::fs as std_fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iolite_io::Io;
use iolite_io::fs::{self, File, FileTimes, Metadata, OpenOptions};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::in_folder;

pub(crate) const CASES: &[Case] = cases![
    metadata_is_what_std_tells,
    exists_tells_missing_from_unknown,
    permissions_are_set_by_name_and_on_open_files,
    owners_are_set,
    times_are_set_back_and_forth,
    advice_changes_nothing,
    room_is_found_and_given_back,
    whole_files_are_read_written_and_copied,
];

fn is_stds(ours: &Metadata, stds: &std_fs::Metadata) {
    let kind = (ours.is_dir(), ours.is_file(), ours.is_symlink());
    assert_eq!(kind, (stds.is_dir(), stds.is_file(), stds.is_symlink()));
    let (kind, std_kind) = (ours.file_type(), stds.file_type());
    assert_eq!((kind.is_fifo(), kind.is_socket()), (std_kind.is_fifo(), std_kind.is_socket()));
    assert_eq!(kind.is_char_device(), std_kind.is_char_device());
    assert_eq!(kind.is_block_device(), std_kind.is_block_device());
    assert_eq!((ours.len(), ours.mode(), ours.nlink()), (stds.len(), stds.mode(), stds.nlink()));
    assert_eq!((ours.dev(), ours.ino(), ours.rdev()), (stds.dev(), stds.ino(), stds.rdev()));
    assert_eq!((ours.uid(), ours.gid()), (stds.uid(), stds.gid()));
    assert_eq!((ours.blocks(), ours.blksize()), (stds.blocks(), stds.blksize()));
    assert_eq!(ours.permissions(), stds.permissions());
    assert_eq!(ours.modified().ok(), stds.modified().ok());
    assert_eq!(ours.accessed().ok(), stds.accessed().ok());
    assert_eq!(ours.created().ok(), stds.created().ok());
    let changed = UNIX_EPOCH + Duration::new(stds.ctime() as u64, stds.ctime_nsec() as u32);
    assert_eq!(ours.changed().expect("kept"), changed);
}

fn metadata_is_what_std_tells(on: &On) {
    in_folder(on, |io, folder| {
        let path = |name: &str| folder.join(name);
        std_fs::write(path("file"), vec![1; 10_000]).expect("written");
        std_fs::create_dir(path("folder")).expect("made");
        symlink("file", path("link")).expect("linked");
        symlink("nowhere", path("dangling")).expect("linked");
        let _socket = UnixListener::bind(path("socket")).expect("bound");
        for name in ["file", "folder", "link", "socket", ".", "/dev/null", "/"] {
            is_stds(&fs::metadata(io, path(name)).expect("told"), &std_fs::metadata(path(name)).expect("told"));
            is_stds(
                &fs::symlink_metadata(io, path(name)).expect("told"),
                &std_fs::symlink_metadata(path(name)).expect("told"),
            );
        }
        is_stds(
            &fs::symlink_metadata(io, path("dangling")).expect("told"),
            &std_fs::symlink_metadata(path("dangling")).expect("told"),
        );
        let file = File::open(io, path("file")).expect("opened");
        is_stds(&file.metadata(io).expect("told"), &std_fs::metadata(path("file")).expect("told"));
        let told = |error: io::Error| (error.kind(), error.raw_os_error());
        for name in ["missing", "dangling", "file/below", ""] {
            assert_eq!(
                fs::metadata(io, Path::new(&path(name).join(""))).map(drop).map_err(told),
                std_fs::metadata(path(name).join("")).map(drop).map_err(told),
                "{name}"
            );
        }
        assert_eq!(told(fs::metadata(io, "").expect_err("no path")), (io::ErrorKind::NotFound, Some(2)));
    });
}

fn exists_tells_missing_from_unknown(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::write(folder.join("file"), "").expect("written");
        symlink("loop", folder.join("loop")).expect("linked");
        assert!(fs::exists(io, folder.join("file")).expect("told"));
        assert!(!fs::exists(io, folder.join("missing")).expect("told"));
        assert_eq!(fs::exists(io, folder.join("loop")).expect_err("nobody knows").raw_os_error(), Some(40));
    });
}

fn permissions_are_set_by_name_and_on_open_files(on: &On) {
    in_folder(on, |io, folder| {
        let (path, link) = (folder.join("file"), folder.join("link"));
        let mode = || std_fs::metadata(&path).expect("there").mode() & 0o7777;
        std_fs::write(&path, "").expect("written");
        symlink("file", &link).expect("linked");
        fs::set_permissions(io, &path, fs::Permissions::from_mode(0o640)).expect("set");
        assert_eq!(mode(), 0o640);
        fs::set_permissions(io, &link, fs::Permissions::from_mode(0o400)).expect("set");
        assert_eq!(mode(), 0o400, "of what the link leads to");
        let file = File::open(io, &path).expect("opened");
        let mut permissions = file.metadata(io).expect("told").permissions();
        assert!(permissions.readonly());
        permissions.set_mode(0o755);
        file.set_permissions(io, permissions).expect("set");
        assert_eq!(mode(), 0o755);
        let missing = fs::set_permissions(io, folder.join("missing"), fs::Permissions::from_mode(0o700));
        assert_eq!(missing.expect_err("missing").raw_os_error(), Some(2));
    });
}

/// Every user may set the owner that a file has already; only the superuser may set another one.
fn owners_are_set(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let file = File::create(io, &path).expect("made");
        let metadata = file.metadata(io).expect("told");
        let (user, group) = (metadata.uid(), metadata.gid());
        fs::chown(io, &path, Some(user), Some(group)).expect("set");
        file.set_owner(io, None, None).expect("set");
        let changed = fs::chown(io, &path, Some(12_345), None);
        // Root without its capabilities, for instance in a container, may not do it either, so std is asked.
        if let Err(refused) = std::os::unix::fs::chown(&path, Some(12_345), None) {
            assert_eq!(changed.expect_err("for the superuser").raw_os_error(), refused.raw_os_error());
            return;
        }
        changed.expect("set");
        let now = std_fs::metadata(&path).expect("there");
        assert_eq!((now.uid(), now.gid()), (12_345, group));
        symlink("file", folder.join("link")).expect("linked");
        fs::lchown(io, folder.join("link"), Some(54_321), None).expect("set");
        let link = fs::symlink_metadata(io, folder.join("link")).expect("told");
        let file_now = fs::metadata(io, folder.join("link")).expect("told");
        assert_eq!((link.uid(), file_now.uid()), (54_321, 12_345));
        file.set_owner(io, Some(user), Some(54_321)).expect("set");
        let now = file.metadata(io).expect("told");
        assert_eq!((now.uid(), now.gid()), (user, 54_321));
    });
}

fn times_are_set_back_and_forth(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let file = File::create(io, &path).expect("made");
        let times = |metadata: Metadata| (metadata.accessed().expect("kept"), metadata.modified().expect("kept"));
        let told = || times(fs::metadata(io, &path).expect("told"));
        let (long_ago, later) =
            (UNIX_EPOCH + Duration::new(86_400, 123_456_789), SystemTime::now() + Duration::from_secs(9_999));
        fs::set_times(io, &path, FileTimes::new().set_accessed(later).set_modified(long_ago)).expect("set");
        assert_eq!(told().1, long_ago);
        let (accessed, _) = told();
        file.set_modified(io, later).expect("set");
        let now = times(file.metadata(io).expect("told"));
        assert_eq!(now.0, accessed, "it stays");
        let past_zero = UNIX_EPOCH - Duration::new(1, 250_000_000);
        file.set_times(io, FileTimes::new().set_accessed(long_ago).set_modified(past_zero)).expect("set");
        assert_eq!(told(), (long_ago, past_zero));
        assert_eq!(std_fs::metadata(&path).expect("there").modified().expect("kept"), past_zero);
        file.set_times(io, FileTimes::new()).expect("nothing to do");
        assert_eq!(told(), (long_ago, past_zero));
    });
}

fn advice_changes_nothing(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::write(folder.join("file"), "content").expect("written");
        let file = File::open(io, folder.join("file")).expect("opened");
        for advice in [fs::Advice::Sequential, fs::Advice::Random, fs::Advice::WillNeed, fs::Advice::DontNeed] {
            file.advise(io, 0..u64::MAX >> 1, advice).expect("taken");
            file.advise(io, 3..3, advice).expect("nothing to do");
        }
        let backwards = std::ops::Range { start: 6, end: 5 };
        let error = file.advise(io, backwards, fs::Advice::Normal).expect_err("no part");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(fs::read(io, folder.join("file")).expect("there"), b"content");
        let (reader, _writer) = io::pipe().expect("a pipe");
        let pipe = File::from(std_fs::File::from(std::os::fd::OwnedFd::from(reader)));
        assert_eq!(pipe.advise(io, 0..1, fs::Advice::Normal).expect_err("a pipe").raw_os_error(), Some(29));
    });
}

fn room_is_found_and_given_back(on: &On) {
    in_folder(on, |io, folder| {
        let file = OpenOptions::new().read(true).write(true).create(true).open(io, folder.join("file")).expect("made");
        match file.allocate(io, 0..1 << 20) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return on.not_run(format!("no fallocate in the folder for temporary files: {error}"));
            }
            result => result.expect("there is room"),
        }
        let told = || file.metadata(io).expect("told");
        assert_eq!((told().len(), told().blocks() >= 2048), (1 << 20, true));
        file.reserve(io, 0..2 << 20).expect("there is room");
        assert_eq!((told().len(), told().blocks() >= 4096), (1 << 20, true));
        file.write_all_at(io, &[7; 3 << 16], 0).expect("written");
        file.punch_hole(io, 1 << 16..2 << 16).expect("given back");
        assert_eq!((told().len(), told().blocks() < 4096), (1 << 20, true));
        let mut content = vec![1; 3 << 16];
        file.read_exact_at(io, &mut content, 0).expect("read");
        assert!(content.chunks(1 << 16).zip([7, 0, 7]).all(|(part, byte)| part.iter().all(|other| *other == byte)));
        for part in [5..5, std::ops::Range { start: 6, end: 5 }] {
            assert_eq!(file.allocate(io, part).expect_err("an empty part").kind(), io::ErrorKind::InvalidInput);
        }
        let read_only = File::open(io, folder.join("file")).expect("opened");
        assert_eq!(read_only.allocate(io, 0..1).expect_err("not for writing").raw_os_error(), Some(9));
    });
}

/// Whole files are read, written and copied as by std.
fn whole_files_are_read_written_and_copied(on: &On) {
    in_folder(on, |io: &dyn Io, folder| {
        let (one, other) = (folder.join("one"), folder.join("other"));
        for length in [0, 1, 4096, 100_000, (20 << 20) + 1] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            fs::write(io, &one, &content).expect("written");
            assert!(std_fs::read(&one).expect("there") == content);
            assert!(fs::read(io, &one).expect("read") == content);
            std_fs::set_permissions(&one, fs::Permissions::from_mode(0o741)).expect("set");
            assert_eq!(fs::copy(io, &one, &other).expect("copied"), length as u64);
            assert!(std_fs::read(&other).expect("there") == content);
            assert_eq!(std_fs::metadata(&other).expect("there").mode() & 0o777, 0o741);
        }
        fs::write(io, &one, b"short").expect("cut and written");
        assert_eq!(fs::read_to_string(io, &one).expect("text"), "short");
        fs::write(io, &one, [0xff]).expect("written");
        assert_eq!(fs::read_to_string(io, &one).expect_err("no text").kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::copy(io, folder, &other).expect_err("a folder").kind(), io::ErrorKind::InvalidInput);
        assert_eq!(fs::copy(io, folder.join("missing"), &other).expect_err("missing").raw_os_error(), Some(2));
        // This file claims to be empty, and is not.
        let stds = std_fs::read("/proc/self/limits").expect("read");
        assert!(fs::read(io, "/proc/self/limits").expect("read") == stds);
        assert_eq!(fs::copy(io, "/proc/self/limits", &other).expect("copied"), stds.len() as u64);
        assert!(std_fs::read(&other).expect("there") == stds);
    });
}
