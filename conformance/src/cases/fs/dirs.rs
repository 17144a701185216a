//! Directories, names and links.

use std::ffi::OsString;
use std::fs as std_fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iolite_io::fs::{self, Dir, DirBuilder, File};
use iolite_io::sync::Barrier;
use iolite_io::{
    Canceled, Io,
    backend::Decorator,
    operation::{Operation, Output},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, in_folder, scope};

pub(crate) const CASES: &[Case] = cases![
    directories_are_made_listed_and_removed,
    create_dir_all_makes_what_stds_makes,
    a_large_directory_is_listed_whole,
    entries_tell_what_they_are,
    a_listing_that_was_canceled_goes_on,
    remove_dir_all_follows_no_link,
    a_deep_tree_is_removed,
    the_rename_matrix,
    hard_and_symbolic_links,
    a_dir_has_all_operations,
    no_path_leads_out_of_a_dir,
    a_last_link_does_not_lead_out_either,
    a_removal_that_is_canceled_removes_nothing_more,
    the_end_of_a_path_means_in_a_dir_what_it_means_anywhere,
    a_directory_that_was_removed_is_empty,
    several_remove_the_same_tree,
    a_dir_is_a_descriptor_and_comes_from_one,
];

fn names(io: &dyn Io, folder: impl fs::AsPathAt) -> Vec<OsString> {
    let mut names: Vec<_> =
        fs::read_dir(io, folder).expect("opened").map(|entry| entry.expect("read").file_name()).collect();
    names.sort();
    names
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Makes files and folders on three levels, with a link that leads out.
fn tree(folder: &Path, outside: &Path) {
    std_fs::create_dir_all(folder.join("a/b/c")).expect("made");
    for name in ["file", "a/file", "a/b/file", "a/b/c/file"] {
        std_fs::write(folder.join(name), name).expect("written");
    }
    symlink(outside, folder.join("a/to outside")).expect("linked");
    symlink("nowhere", folder.join("a/b/dangling")).expect("linked");
}

fn directories_are_made_listed_and_removed(on: &On) {
    in_folder(on, |io, folder| {
        let made = folder.join("made");
        fs::create_dir(io, &made).expect("made");
        assert_eq!(errno(fs::create_dir(io, &made)), Some(17));
        assert_eq!(errno(fs::create_dir(io, folder.join("missing/made"))), Some(2));
        DirBuilder::new().mode(0o700).create(io, made.join("private")).expect("made");
        let mode = std_fs::metadata(made.join("private")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(io, made.join("file"), "").expect("made");
        assert_eq!(names(io, &made), ["file", "private"]);
        assert_eq!(errno(fs::remove_dir(io, &made)), Some(39), "not empty");
        assert_eq!(errno(fs::remove_dir(io, made.join("file"))), Some(20), "no directory");
        assert_eq!(errno(fs::remove_file(io, made.join("private"))), Some(21), "a directory");
        fs::remove_file(io, made.join("file")).expect("removed");
        fs::remove_dir(io, made.join("private")).expect("removed");
        fs::remove_dir(io, &made).expect("removed");
        assert!(!fs::exists(io, &made).expect("told"));
    });
}

/// Like std's function in each of these cases: the folder is made, made again, or a file is in its place.
fn create_dir_all_makes_what_stds_makes(on: &On) {
    in_folder(on, |io, folder| {
        let (ours, stds) = (folder.join("ours"), folder.join("std's"));
        for base in [&ours, &stds] {
            std_fs::create_dir(base).expect("made");
            std_fs::write(base.join("file"), "").expect("written");
            symlink("file", base.join("to file")).expect("linked");
            symlink("nowhere", base.join("dangling")).expect("linked");
        }
        let paths =
            ["a/b/c", "a/b/c", "a", "", ".", "x/", "y/../z", "file", "file/below", "to file", "dangling", "dangling/x"];
        for path in paths {
            let told = |error: io::Error| error.raw_os_error();
            let result = fs::create_dir_all(io, ours.join(path)).map_err(told);
            let std_result = std_fs::create_dir_all(stds.join(path)).map_err(told);
            assert_eq!(result, std_result, "{path}");
            assert_eq!(ours.join(path).is_dir(), stds.join(path).is_dir(), "{path}");
        }
    });
}

fn a_large_directory_is_listed_whole(on: &On) {
    const FILES: usize = 3_000;
    in_folder(on, |io, folder| {
        for number in 0..FILES {
            std_fs::write(folder.join(format!("a file with a long name, number {number}")), "").expect("written");
        }
        assert_eq!(names(io, folder).len(), FILES);
        // Entries are removed while they are read.
        let mut seen = 0;
        for entry in fs::read_dir(io, folder).expect("opened") {
            let entry = entry.expect("read");
            assert!(entry.file_type(io).expect("told").is_file());
            fs::remove_file(io, entry.path()).expect("there");
            seen += 1;
        }
        assert_eq!((seen, names(io, folder).len()), (FILES, 0));
    });
}

fn entries_tell_what_they_are(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::create_dir(folder.join("folder")).expect("made");
        std_fs::write(folder.join("file"), "12345").expect("written");
        symlink("file", folder.join("link")).expect("linked");
        for entry in fs::read_dir(io, folder).expect("opened") {
            let entry = entry.expect("read");
            let (kind, metadata) = (entry.file_type(io).expect("told"), entry.metadata(io).expect("told"));
            let std_metadata = std_fs::symlink_metadata(entry.path()).expect("there");
            assert_eq!(kind, metadata.file_type());
            assert_eq!((kind.is_dir(), kind.is_file()), (std_metadata.is_dir(), std_metadata.is_file()));
            assert_eq!((kind.is_symlink(), entry.ino()), (std_metadata.is_symlink(), std_metadata.ino()));
            assert_eq!(metadata.len(), std_metadata.len());
        }
    });
}

fn a_listing_that_was_canceled_goes_on(on: &On) {
    in_folder(on, |io, folder| {
        (0..5).for_each(|number| std_fs::write(folder.join(number.to_string()), "").expect("written"));
        let mut listing = fs::read_dir(io, folder).expect("opened");
        for _ in 0..2 {
            listing.next().expect("five").expect("read");
            let canceled = io.timeout(std::time::Duration::ZERO, |_| listing.next().expect("canceled").map(drop));
            assert_eq!(canceled.expect_err("canceled").kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(listing.filter(io::Result::is_ok).count(), 3);
    });
}

fn remove_dir_all_follows_no_link(on: &On) {
    in_folder(on, |io, folder| {
        let (root, outside) = (folder.join("root"), folder.join("outside"));
        std_fs::create_dir(&outside).expect("made");
        std_fs::write(outside.join("precious"), "gold").expect("written");
        tree(&root, &outside);
        fs::remove_dir_all(io, &root).expect("removed");
        assert!(!root.exists());
        assert_eq!(std_fs::read_to_string(outside.join("precious")).expect("still there"), "gold");
        // The link itself is removed, and its target stays.
        symlink(&outside, folder.join("link")).expect("linked");
        fs::remove_dir_all(io, folder.join("link")).expect("removed");
        assert_eq!(names(io, folder), ["outside"]);
        assert_eq!(errno(fs::remove_dir_all(io, outside.join("precious"))), Some(20), "no directory");
        assert_eq!(errno(fs::remove_dir_all(io, folder.join("missing"))), Some(2));
    });
}

fn a_deep_tree_is_removed(on: &On) {
    in_folder(on, |io, folder| {
        let deep = (0..100).fold(folder.join("root"), |path, _| path.join("d"));
        fs::create_dir_all(io, &deep).expect("made");
        fs::write(io, deep.join("file"), "at the end").expect("written");
        fs::remove_dir_all(io, folder.join("root")).expect("removed");
        assert_eq!(names(io, folder).len(), 0);
    });
}

/// Renames with and without replacing have the same results as in std and the kernel.
fn the_rename_matrix(on: &On) {
    type Make = fn(&Path);
    const KINDS: [(&str, Make); 5] = [
        ("nothing", |_| ()),
        ("file", |path| std_fs::write(path, path.as_os_str().as_encoded_bytes()).expect("written")),
        ("link", |path| symlink("nowhere", path).expect("linked")),
        ("empty", |path| std_fs::create_dir(path).expect("made")),
        ("full", |path| std_fs::create_dir_all(path.join("below")).expect("made")),
    ];
    let kind_of = |path: &Path| match std_fs::symlink_metadata(path) {
        Err(_) => "nothing",
        Ok(metadata) if metadata.is_file() => "file",
        Ok(metadata) if metadata.is_symlink() => "link",
        Ok(_) if path.join("below").exists() => "full",
        Ok(_) => "empty",
    };
    in_folder(on, |io, folder| {
        for (from_kind, make_from) in KINDS {
            for (to_kind, make_to) in KINDS {
                let fresh = |name: &str| {
                    let base = folder.join(name);
                    let _ = std_fs::remove_dir_all(&base);
                    std_fs::create_dir(&base).expect("made");
                    let (from, to) = (base.join("from"), base.join("to"));
                    make_from(&from);
                    make_to(&to);
                    (from, to)
                };
                let told = |error: io::Error| error.raw_os_error();
                let ((from, to), (std_from, std_to)) = (fresh("ours"), fresh("std's"));
                let result = fs::rename(io, &from, &to).map_err(told);
                assert_eq!(result, std_fs::rename(&std_from, &std_to).map_err(told), "{from_kind} to {to_kind}");
                assert_eq!(kind_of(&to), kind_of(&std_to), "{from_kind} to {to_kind}");

                let (from, to) = fresh("noreplace");
                let result = fs::rename_noreplace(io, &from, &to).map_err(told);
                let expected = match (from_kind, to_kind) {
                    ("nothing", _) => Err(Some(2)),
                    (_, "nothing") => Ok(()),
                    _ => Err(Some(17)),
                };
                assert_eq!(result, expected, "{from_kind} to {to_kind}, not replacing");
                let now = if result.is_ok() { ("nothing", from_kind) } else { (from_kind, to_kind) };
                assert_eq!((kind_of(&from), kind_of(&to)), now, "{from_kind} to {to_kind}, not replacing");

                let (from, to) = fresh("exchange");
                let result = fs::rename_exchange(io, &from, &to).map_err(told);
                let both = from_kind != "nothing" && to_kind != "nothing";
                assert_eq!(result, if both { Ok(()) } else { Err(Some(2)) }, "{from_kind} and {to_kind} swapped");
                let now = if both { (to_kind, from_kind) } else { (from_kind, to_kind) };
                assert_eq!((kind_of(&from), kind_of(&to)), now, "{from_kind} and {to_kind} swapped");
            }
        }
    });
}

fn hard_and_symbolic_links(on: &On) {
    in_folder(on, |io, folder| {
        let [file, hard, soft] = ["file", "hard", "soft"].map(|name| folder.join(name));
        fs::write(io, &file, "one").expect("written");
        fs::hard_link(io, &file, &hard).expect("linked");
        fs::symlink(io, "file", &soft).expect("linked");
        let told = fs::metadata(io, &file).expect("told");
        assert_eq!((told.nlink(), fs::metadata(io, &hard).expect("told").ino()), (2, told.ino()));
        fs::write(io, &hard, "two").expect("written");
        assert_eq!(fs::read_to_string(io, &soft).expect("read"), "two");
        assert_eq!(fs::read_link(io, &soft).expect("read"), Path::new("file"));
        assert_eq!(fs::read_link(io, &file).expect_err("no link").kind(), io::ErrorKind::InvalidInput);
        assert_eq!(errno(fs::hard_link(io, &file, &hard)), Some(17));
        assert_eq!(errno(fs::symlink(io, "x", &hard)), Some(17));
        assert_eq!(errno(fs::hard_link(io, folder, folder.join("x"))), Some(1), "a directory");
        // A hard link to a symbolic link is one more name of the symbolic link.
        fs::hard_link(io, &soft, folder.join("soft too")).expect("linked");
        assert!(fs::symlink_metadata(io, folder.join("soft too")).expect("told").is_symlink());
        fs::remove_file(io, &file).expect("removed");
        assert!(!fs::exists(io, &soft).expect("told"), "it leads nowhere");
        assert!(fs::symlink_metadata(io, &soft).expect("told").is_symlink());
        assert_eq!(fs::read(io, &hard).expect("read"), b"two");
        let canonical = fs::canonicalize(io, folder.join("../").join(folder.file_name().expect("a name")).join("hard"));
        assert_eq!(canonical.expect("told"), std_fs::canonicalize(&hard).expect("told"));
    });
}

/// Every operation works on a place in an open directory.
fn a_dir_has_all_operations(on: &On) {
    in_folder(on, |io, folder| {
        let dir = Dir::open(io, folder).expect("opened");
        fs::create_dir_all(io, dir.at("a/b")).expect("made");
        fs::create_dir_all(io, dir.at("a/b")).expect("there");
        fs::create_dir_all(io, dir.at(".")).expect("there");
        fs::write(io, dir.at("a/b/file"), "text").expect("written");
        assert_eq!(fs::read_to_string(io, dir.at("a/../a/b/file")).expect("read"), "text");
        fs::rename(io, dir.at("a/b/file"), dir.at("file")).expect("renamed");
        assert!(!fs::exists(io, dir.at("a/b/file")).expect("told"));
        fs::hard_link(io, dir.at("file"), dir.at("a/hard")).expect("linked");
        fs::symlink(io, "../file", dir.at("a/soft")).expect("linked");
        assert_eq!(fs::read(io, dir.at("a/soft")).expect("a link that stays inside"), b"text");
        assert_eq!(fs::read_link(io, dir.at("a/soft")).expect("read"), Path::new("../file"));
        assert_eq!(fs::metadata(io, dir.at("a/soft")).expect("told").nlink(), 2);
        assert!(fs::symlink_metadata(io, dir.at("a/soft")).expect("told").is_symlink());
        assert!(fs::metadata(io, dir.at(".")).expect("told").is_dir());
        fs::set_permissions(io, dir.at("a/soft"), std_fs::Permissions::from_mode(0o640)).expect("set");
        assert_eq!(std_fs::metadata(folder.join("file")).expect("there").mode() & 0o777, 0o640);
        assert_eq!(names(io, dir.at("a")), ["b", "hard", "soft"]);
        assert_eq!(fs::copy(io, dir.at("file"), dir.at("copy")).expect("copied"), 4);
        let sub = Dir::open(io, dir.at("a")).expect("opened");
        fs::write_atomic(io, sub.at("b/new"), "whole").expect("written");
        assert_eq!(std_fs::read_to_string(folder.join("a/b/new")).expect("there"), "whole");
        // It stays the same directory, whatever its name is.
        fs::rename(io, dir.at("a"), dir.at("renamed")).expect("renamed");
        fs::remove_dir_all(io, sub.at("b")).expect("removed");
        assert_eq!(names(io, dir.at("renamed")), ["hard", "soft"]);
        fs::remove_file(io, dir.at("renamed/soft")).expect("removed");
        fs::remove_dir_all(io, dir.at("renamed")).expect("removed");
        sub.sync_all(io).expect("it is open still");
        dir.sync_all(io).expect("synced");
        assert_eq!(names(io, folder), ["copy", "file"]);
        assert_eq!(Dir::open(io, dir.at("file")).expect_err("a file").kind(), io::ErrorKind::NotADirectory);
    });
}

/// Every way out of a directory is refused, for every operation, and nothing outside changes.
fn no_path_leads_out_of_a_dir(on: &On) {
    type Call = fn(&dyn Io, &Dir, &Path) -> io::Result<()>;
    const CALLS: [(&str, Call); 21] = [
        ("open", |io, dir, path| File::open(io, dir.at(path)).map(drop)),
        ("create", |io, dir, path| File::create(io, dir.at(path)).map(drop)),
        ("write", |io, dir, path| fs::write(io, dir.at(path), "broken")),
        ("write_atomic", |io, dir, path| fs::write_atomic(io, dir.at(path), "broken")),
        ("copy", |io, dir, path| fs::copy(io, dir.at("inside"), dir.at(path)).map(drop)),
        ("metadata", |io, dir, path| fs::metadata(io, dir.at(path)).map(drop)),
        ("symlink_metadata", |io, dir, path| fs::symlink_metadata(io, dir.at(path)).map(drop)),
        ("set_permissions", |io, dir, path| {
            fs::set_permissions(io, dir.at(path), std_fs::Permissions::from_mode(0o777))
        }),
        ("chown", |io, dir, path| fs::chown(io, dir.at(path), None, None)),
        ("lchown", |io, dir, path| fs::lchown(io, dir.at(path), None, None)),
        ("set_times", |io, dir, path| {
            fs::set_times(io, dir.at(path), fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH))
        }),
        ("remove_file", |io, dir, path| fs::remove_file(io, dir.at(path))),
        ("remove_dir_all", |io, dir, path| fs::remove_dir_all(io, dir.at(path))),
        ("rename from", |io, dir, path| fs::rename(io, dir.at(path), dir.at("stolen"))),
        ("rename to", |io, dir, path| fs::rename(io, dir.at("inside"), dir.at(path))),
        ("hard_link from", |io, dir, path| fs::hard_link(io, dir.at(path), dir.at("stolen"))),
        ("hard_link to", |io, dir, path| fs::hard_link(io, dir.at("inside"), dir.at(path))),
        ("symlink", |io, dir, path| fs::symlink(io, "x", dir.at(path))),
        ("read_dir", |io, dir, path| fs::read_dir(io, dir.at(path)).map(drop)),
        ("create_dir", |io, dir, path| fs::create_dir(io, dir.at(path))),
        ("create_dir_all", |io, dir, path| fs::create_dir_all(io, dir.at(path))),
    ];
    in_folder(on, |io, folder| {
        let root = folder.join("root");
        std_fs::create_dir_all(root.join("sub")).expect("made");
        std_fs::write(root.join("inside"), "inside").expect("written");
        std_fs::create_dir(folder.join("outside")).expect("made");
        std_fs::write(folder.join("outside/file"), "precious").expect("written");
        std_fs::set_permissions(folder.join("outside/file"), std_fs::Permissions::from_mode(0o600)).expect("set");
        symlink(folder.join("outside"), root.join("absolute")).expect("linked");
        symlink("../outside", root.join("relative")).expect("linked");
        symlink("../../outside", root.join("sub/deep")).expect("linked");
        let before = std_fs::metadata(folder.join("outside/file")).expect("there");
        let dir = Dir::open(io, &root).expect("opened");
        let absolute = folder.join("outside/file");
        let ways = ["../outside/file", "absolute/file", "relative/file", "sub/deep/file", "sub/../../outside/file"];
        for (name, call) in CALLS {
            for way in ways.iter().map(Path::new).chain([absolute.as_path()]) {
                let error = call(io, &dir, way).expect_err("it leads out");
                assert_eq!(error.raw_os_error(), Some(18), "{name} {}: {error}", way.display());
            }
        }
        let after = std_fs::metadata(folder.join("outside/file")).expect("there");
        assert_eq!(std_fs::read(folder.join("outside/file")).expect("there"), b"precious");
        assert_eq!(
            (after.ino(), after.mode(), after.nlink(), after.modified().expect("kept")),
            (before.ino(), before.mode(), before.nlink(), before.modified().expect("kept"))
        );
        assert_eq!(names(io, folder.join("outside")), ["file"]);
        assert_eq!(names(io, &root), ["absolute", "inside", "relative", "sub"]);
    });
}

/// If the last name is a link, calls that write, read metadata or set something do not follow it out of the directory.
fn a_last_link_does_not_lead_out_either(on: &On) {
    in_folder(on, |io, folder| {
        let root = folder.join("root");
        std_fs::create_dir(&root).expect("made");
        std_fs::write(folder.join("precious"), "gold").expect("written");
        std_fs::set_permissions(folder.join("precious"), std_fs::Permissions::from_mode(0o600)).expect("set");
        symlink("../precious", root.join("link")).expect("linked");
        let dir = Dir::open(io, &root).expect("opened");
        let permissions = std_fs::Permissions::from_mode(0o777);
        for error in [
            fs::write(io, dir.at("link"), "lead"),
            fs::metadata(io, dir.at("link")).map(drop),
            fs::set_permissions(io, dir.at("link"), permissions),
            fs::read(io, dir.at("link")).map(drop),
        ] {
            assert_eq!(errno(error), Some(18));
        }
        fs::write_atomic(io, dir.at("link"), "lead").expect("it takes the link's place");
        assert_eq!(std_fs::read(root.join("link")).expect("there"), b"lead");
        assert_eq!(std_fs::read(folder.join("precious")).expect("there"), b"gold");
        assert_eq!(std_fs::metadata(folder.join("precious")).expect("there").mode() & 0o777, 0o600);
    });
}

fn a_removal_that_is_canceled_removes_nothing_more(on: &On) {
    in_folder(on, |io, folder| {
        tree(&folder.join("root"), folder);
        let error = io.timeout(std::time::Duration::ZERO, |io| fs::remove_dir_all(io, folder.join("root")));
        assert_eq!(error.expect_err("canceled").kind(), io::ErrorKind::TimedOut);
        assert!(folder.join("root/a/b/c/file").exists());
        fs::remove_dir_all(io, folder.join("root")).expect("removed");
        assert!(!Canceled::is_in(&fs::metadata(io, folder.join("root")).expect_err("gone")));
    });
}

/// Returns the names in a folder, if it is one.
fn left_in(folder: &Path) -> Option<Vec<OsString>> {
    let mut names: Vec<_> = std_fs::read_dir(folder).ok()?.map(|entry| entry.expect("read").file_name()).collect();
    names.sort();
    Some(names)
}

type Call = fn(&dyn Io, fs::PathAt<'_>, fs::PathAt<'_>) -> io::Result<()>;

/// Calls on a place, which is the second argument; the first one is a file beside it.
const CALLS: [(&str, Call); 13] = [
    ("rename from", |io, other, at| fs::rename(io, at, other)),
    ("rename to", |io, other, at| fs::rename(io, other, at)),
    ("rename_noreplace", |io, other, at| fs::rename_noreplace(io, other, at)),
    ("hard_link from", |io, other, at| {
        fs::remove_file(io, other)?;
        fs::hard_link(io, at, other)
    }),
    ("hard_link to", |io, other, at| fs::hard_link(io, other, at)),
    ("symlink", |io, _, at| fs::symlink(io, "target", at)),
    ("read_link", |io, _, at| fs::read_link(io, at).map(drop)),
    ("remove_file", |io, _, at| fs::remove_file(io, at)),
    ("remove_dir", |io, _, at| fs::remove_dir(io, at)),
    ("create_dir", |io, _, at| fs::create_dir(io, at)),
    ("create_dir_all", |io, _, at| fs::create_dir_all(io, at)),
    ("remove_dir_all", |io, _, at| fs::remove_dir_all(io, at)),
    ("write_atomic", |io, _, at| fs::write_atomic(io, at, "new")),
];

/// The kernel sees the slash or the dot at the end of a path, whether or not the path goes through a `Dir`. It means
/// that the path leads to a directory, or names one.
fn the_end_of_a_path_means_in_a_dir_what_it_means_anywhere(on: &On) {
    in_folder(on, |io, folder| {
        let mut count = 0;
        for name in ["file", "empty", "link", "to file", "missing", "below/file"] {
            for end in ["", "/", "/.", "/.."] {
                for (call, perform) in CALLS {
                    let path = format!("{name}{end}");
                    let outcome = |place: &str, in_dir: bool| {
                        let base = folder.join(format!("{count} {place}"));
                        std_fs::create_dir_all(base.join("below/empty")).expect("made");
                        std_fs::create_dir(base.join("empty")).expect("made");
                        std_fs::create_dir(base.join("full")).expect("made");
                        for file in ["file", "other", "full/file", "below/file"] {
                            std_fs::write(base.join(file), file).expect("written");
                        }
                        symlink("empty", base.join("link")).expect("linked");
                        symlink("file", base.join("to file")).expect("linked");
                        let (other, at) = (base.join("other"), base.join(&path));
                        let result = if in_dir {
                            let dir = Dir::open(io, &base).expect("opened");
                            perform(io, dir.at("other"), dir.at(&path))
                        } else {
                            perform(io, fs::AsPathAt::locate(&other), fs::AsPathAt::locate(&at))
                        };
                        let left = ["", "below", "full", "file"].map(|folder| left_in(&base.join(folder)));
                        std_fs::remove_dir_all(&base).expect("removed");
                        (errno(result), left)
                    };
                    let (in_dir, anywhere) = (outcome("in a dir", true), outcome("anywhere", false));
                    count += 1;
                    // A path that ends in `..` names nothing in a `Dir`, so it is refused (EINVAL).
                    if end == "/.." && in_dir.0 == Some(22) {
                        continue;
                    }
                    assert_eq!(in_dir, anywhere, "{call} {path}");
                }
            }
        }
    });
}

fn a_directory_that_was_removed_is_empty(on: &On) {
    in_folder(on, |io, folder| {
        let gone = folder.join("gone");
        std_fs::create_dir(&gone).expect("made");
        let mut entries = fs::read_dir(io, &gone).expect("opened");
        std_fs::remove_dir(&gone).expect("removed");
        assert!(entries.next().is_none());
    });
}

/// A task that removes a tree together with others, and that has seen the tree when they begin.
struct Remover<'a> {
    io: &'a dyn Io,
    have_seen: &'a Barrier,
    has_seen: AtomicBool,
}

impl Decorator for Remover<'_> {
    fn inner(&self) -> &dyn Io {
        self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        let output = self.io.operate(operation);
        if !self.has_seen.swap(true, Ordering::Relaxed) {
            self.have_seen.wait(self.io)?;
        }
        output
    }
}

/// At any step, each may find that another one was faster, and none fails.
fn several_remove_the_same_tree(on: &On) {
    in_folder(on, |io, folder| {
        let root = &folder.join("root");
        let have_seen = &Barrier::new(3);
        for _ in 0..20 {
            for branch in 0..8 {
                let branch = root.join(format!("{branch}/below"));
                std_fs::create_dir_all(&branch).expect("made");
                (0..4).for_each(|file| std_fs::write(branch.join(file.to_string()), "").expect("written"));
            }
            scope(io, |group| {
                let remove = |io: &dyn Io| {
                    fs::remove_dir_all(&Remover { io, have_seen, has_seen: AtomicBool::new(false) }, root)
                };
                let removers = [(); 3].map(|()| concurrently(group, remove));
                removers.into_iter().for_each(|remover| remover.join(io).expect("it was there"));
            });
            assert!(!root.exists());
        }
    });
}

fn a_dir_is_a_descriptor_and_comes_from_one(on: &On) {
    in_folder(on, |io, folder| {
        fs::write(io, folder.join("file"), "content").expect("written");
        let dir = Dir::from(OwnedFd::from(std_fs::File::open(folder).expect("opened")));
        assert_eq!(fs::read(io, dir.at("file")).expect("read"), b"content");
        let std_dir = std_fs::File::from(OwnedFd::from(dir));
        assert!(std_dir.metadata().expect("open").is_dir());
        // The first call detects that the descriptor is not a directory.
        let not_a_dir = Dir::from(OwnedFd::from(std_fs::File::open(folder.join("file")).expect("opened")));
        assert_eq!(errno(fs::read(io, not_a_dir.at("file"))), Some(20));
    });
}
