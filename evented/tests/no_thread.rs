//! File operations when no thread can be started: neither the kernel's for operations that may wait for a disk, nor the
//! runtime's own. The test has a process of its own, because the limit belongs to the user and stays.

mod support;

use std::io::{self, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{ExitCode, Stdio};
use std::{env, fs, thread};

use iolite_conformance::tools::{again, scope};
use iolite_conformance::{Case, On, cases};
use iolite_evented::{Evented, Options};
use iolite_io::Io;
use iolite_io::fs::{File, create_dir, metadata, read, read_dir, remove_dir, remove_file, rename, write};
use rustix::process::{Resource, Rlimit, getuid, setrlimit};

const CASES: &[Case] = cases![files_are_used_without_threads];

/// Tells the process that it is the one without threads, and which folder it may use.
const CHILD: &str = "IOLITE_TEST_NO_THREAD";

/// A user who has no other processes, and who has a limit, unlike root.
const NOBODY_ELSE: u32 = 54_321;

fn main() -> ExitCode {
    support::run_one_by_one(&[CASES])
}

fn files_are_used_without_threads(on: &On) {
    if let Ok(folder) = env::var(CHILD) {
        return without_threads(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = again();
    child.env(CHILD, folder.path()).stderr(Stdio::piped());
    if getuid().is_root() {
        std::os::unix::fs::chown(folder.path(), Some(NOBODY_ELSE), None).unwrap();
        child.uid(NOBODY_ELSE);
    }
    match child.output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            let out = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{told}{out}");
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            on.not_run("another user cannot run this program");
        }
        Err(error) => panic!("{error}"),
    }
}

fn without_threads(folder: &str) {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let io = evented.io();
    setrlimit(Resource::Nproc, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    thread::Builder::new().spawn(|| ()).map(drop).expect_err("there is no thread");
    scope(io, |group| group.spawn_concurrent(|io| use_files(io, folder)).unwrap().join(io));
    use_files(io, folder);
    evented.shutdown();
}

fn use_files(io: &dyn Io, folder: &str) {
    let path = |name: &str| format!("{folder}/{name}");
    write(io, path("file"), b"contents").unwrap();
    assert_eq!(read(io, path("file")).unwrap(), b"contents");
    assert_eq!(fs::read(path("file")).unwrap(), b"contents");
    assert_eq!(metadata(io, path("file")).unwrap().len(), 8);
    assert_eq!(metadata(io, path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(!read(io, "/proc/self/stat").unwrap().is_empty());

    let file = File::options().read(true).write(true).open(io, path("file")).unwrap();
    file.write_all_at(io, b"C", 0).unwrap();
    file.seek(io, SeekFrom::Start(8)).unwrap();
    file.write_all(io, b" more").unwrap();
    file.sync_all(io).unwrap();
    file.set_len(io, 10).unwrap();
    let mut bytes = [0; 10];
    file.read_exact_at(io, &mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"Contents m");
    file.close(io).unwrap();

    create_dir(io, path("folder")).unwrap();
    rename(io, path("file"), path("folder/file")).unwrap();
    let entries: Vec<_> = read_dir(io, path("folder")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["file"]);
    remove_file(io, path("folder/file")).unwrap();
    remove_dir(io, path("folder")).unwrap();
}
