//! Facts from the tests of `std.Io` and zio that no other file covers.

use std::collections::VecDeque;
use std::fs as std_fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use iolite_io::fs::{self, Access, Dir};
use iolite_io::sync::{Event, OnceLock, Queue, RecvError, mpmc::channel};
use iolite_io::{Canceled, Io, WaitError, process, select::OneOf2};
use rustix::io::Errno;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, in_folder, rounds, scope, started, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    a_rendezvous_without_units_for_async_tasks_is_no_deadlock,
    two_getters_and_a_sleep,
    a_request_comes_before_a_timeout_that_has_passed,
    waiting_for_a_program_closes_its_input,
    a_canceled_vectored_write_counts_what_it_wrote,
    a_stream_is_read_to_its_end,
    many_wait_for_a_value_that_somebody_sets,
    a_value_that_could_not_be_made_is_waited_for_on,
    a_value_is_seen_or_the_wait_canceled,
    access_tells_what_may_be_done,
    an_open_directory_is_a_place,
    a_close_lets_those_go_who_wait_for_many_things,
    open_files_get_names_and_places_have_paths,
];

const LONG: Duration = Duration::from_secs(3600);

/// `std.Io`: "concurrent vs main prevents deadlock via oversubscription", and "concurrent vs concurrent".
fn a_rendezvous_without_units_for_async_tasks_is_no_deadlock(on: &On) {
    on.async_limit(0).run(|io| {
        let queue = Queue::new(0);
        let put = |io: &dyn Io| queue.put_uncancelable(io, &mut VecDeque::from([42]), 1);
        let get = |io: &dyn Io| {
            let mut got = Vec::new();
            queue.get_uncancelable(io, &mut got, 1, 1).map(|_| got)
        };
        scope(io, |group| {
            let putter = concurrently(group, put);
            assert_eq!(get(io).expect("put"), [42]);
            assert_eq!(putter.join(io).expect("got"), 1);
            let (putter, getter) = (concurrently(group, put), concurrently(group, get));
            assert_eq!(getter.join(io).expect("put"), [42]);
            assert_eq!(putter.join(io).expect("got"), 1);
        });
    });
}

/// `std.Io`: "select".
fn two_getters_and_a_sleep(on: &On) {
    #[derive(Debug)]
    enum Came {
        Item(Result<usize, RecvError>),
        Time,
    }
    on.run(|io| {
        let queue = Queue::<u8>::new(0);
        let result: Result<(), Canceled> = io.join_set(|set| {
            for _ in 0..2 {
                set.spawn_concurrent(|io| Came::Item(queue.get(io, &mut Vec::new(), 1, 1))).expect("concurrent");
            }
            set.spawn_async(|io| {
                io.sleep(Duration::from_millis(1)).expect("not canceled");
                Came::Time
            });
            assert!(matches!(set.next(io)?, Some(Came::Time)), "nobody puts");
            queue.close();
            let rest = set.next_many(io, 2)?;
            assert!(
                matches!(rest[..], [Came::Item(Err(RecvError::Closed)), Came::Item(Err(RecvError::Closed))]),
                "{rest:?}"
            );
            Ok(())
        });
        result.expect("not canceled");
    });
}

/// zio: "AutoCancel: user cancel has priority over timeout".
fn a_request_comes_before_a_timeout_that_has_passed(on: &On) {
    on.run(|io| {
        let go = Event::new();
        scope(io, |group| {
            let member = concurrently(group, |io| {
                io.timeout(Duration::ZERO, |io| {
                    go.wait_uncancelable(io);
                    let first = io.check_cancel();
                    // The time is still over.
                    (io.check_cancel(), first).1
                })
            });
            member.request_cancel();
            go.set();
            assert!(matches!(member.join(io), Err(WaitError::Canceled(_))));
        });
    });
}

/// std and tokio close the input before they wait: many programs end only then.
fn waiting_for_a_program_closes_its_input(on: &On) {
    on.run(|io| {
        let cat = || {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            process::spawn(io, &mut command).expect("spawned")
        };
        assert!(cat().wait(io).expect("it ends").success());
        assert!(cat().wait_with_output(io).expect("it ends").status.success());
        assert!(process::status(io, Command::new("cat").stdin(Stdio::piped())).expect("it ends").success());
    });
}

/// Partial progress wins, also in one call with many buffers: exactly the counted bytes arrive.
fn a_canceled_vectored_write_counts_what_it_wrote(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let chunk = vec![5; 1 << 20];
        let buffers = [IoSlice::new(&chunk), IoSlice::new(&chunk), IoSlice::new(&chunk)];
        let (mut counted, mut received) = (0, Vec::new());
        scope(io, |group| {
            for _ in 0..rounds(50) {
                let writer = started(group, io, |io| near.write_vectored(io, &buffers));
                match writer.cancel(io) {
                    Ok(count) => counted += count,
                    Err(error) => assert!(Canceled::is_in(&error), "{error}"),
                }
                // This makes room for the next ones.
                let mut part = vec![0; 1 << 20];
                if counted > received.len() {
                    let count = far.read(io, &mut part).expect("received");
                    received.extend_from_slice(&part[..count]);
                }
            }
        });
        drop(near);
        far.read_to_end(io, &mut received).expect("received");
        assert_eq!(received.len(), counted);
    });
}

fn a_stream_is_read_to_its_end(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let mut bytes = b"before ".to_vec();
        far.write_all(io, b"and ").expect("sent");
        scope(io, |group| {
            let reading = concurrently(group, |io| {
                let result = io.timeout(Duration::from_millis(5), |io| near.read_to_end(io, &mut bytes));
                result.expect_err("there is no end yet").kind()
            });
            assert_eq!(reading.join(io), io::ErrorKind::TimedOut);
        });
        // All of that, unless the time was over before the call began to read.
        assert!([&b"before "[..], b"before and "].contains(&&bytes[..]), "what was read by then: {bytes:?}");
        far.write_all(io, &[b'x'; 100_000]).expect("sent");
        drop(far);
        let rest = 100_011 - bytes.len();
        assert_eq!(near.read_to_end(io, &mut bytes).expect("the end"), rest);
        assert_eq!((bytes.len(), &bytes[..12]), (100_011, &b"before and x"[..]));
        assert_eq!(near.read_to_end(io, &mut bytes).expect("the end"), 0);
    });
}

/// zio: `Future`, and std's `OnceLock::wait`.
fn many_wait_for_a_value_that_somebody_sets(on: &On) {
    on.run(|io| {
        for way in 0..3 {
            let (cell, set) = (OnceLock::new(), Event::new());
            thread::scope(|threads| {
                let on_thread = threads.spawn(|| *cell.wait(io).expect("not canceled"));
                scope(io, |group| {
                    let waiters = [(); 3].map(|()| started(group, io, |io| *cell.wait(io).expect("not canceled")));
                    let choosing = started(group, io, |io| match io.select((cell.on_wait(), io.now() + LONG)) {
                        Ok(OneOf2::First(value)) => *value,
                        other => panic!("{other:?}"),
                    });
                    let canceled = started(group, io, |io| cell.wait(io).copied());
                    canceled.cancel(io).map(drop).expect_canceled("nobody has set it");
                    let soon = io.now() + Duration::from_millis(1);
                    assert!(matches!(io.timeout_at(soon, |io| cell.wait(io)), Err(WaitError::TimedOut(_))));
                    set.set();
                    match way {
                        0 => cell.set(7).expect("empty"),
                        1 => assert_eq!(*cell.get_or_init(io, || 7).expect("not canceled"), 7),
                        _ => drop(cell.get_or_try_init_uncancelable(io, || Ok::<_, ()>(7)).expect("made")),
                    }
                    assert_eq!(waiters.map(|waiter| waiter.join(io)), [7; 3]);
                    assert_eq!(choosing.join(io), 7);
                });
                assert_eq!(on_thread.join().expect("no panic"), 7);
            });
            assert_eq!(*cell.wait_uncancelable(io), 7);
            assert_eq!(*OnceLock::from(5).wait(io).expect("it is there"), 5);
        }
    });
}

/// An initializer that fails does not release tasks that wait for a value.
fn a_value_that_could_not_be_made_is_waited_for_on(on: &On) {
    on.run(|io| {
        let cell = OnceLock::<u32>::new();
        cell.get_or_try_init_uncancelable(io, || Err(())).expect_err("it fails");
        let soon = io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon, |io| cell.wait(io)), Err(WaitError::TimedOut(_))));
    });
}

/// Either the value is seen, or the request is delivered.
fn a_value_is_seen_or_the_wait_canceled(on: &On) {
    on.on_thread(|io| {
        Race::new("a wait for a value", 300).run(|start| {
            let cell = OnceLock::new();
            let seen = attempt(io, start, |io| Ok(*cell.wait(io)?), || cell.set(3).expect("empty"));
            assert_eq!(cell.get(), Some(&3), "it is there, whoever saw it");
            seen.is_some()
        });
    });
}

/// `std.Io`: `Dir.access`; zio: `Dir.access`.
fn access_tells_what_may_be_done(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::write(folder.join("file"), "").expect("written");
        std_fs::write(folder.join("program"), "").expect("written");
        let mode = |name: &str, mode| {
            std_fs::set_permissions(folder.join(name), std_fs::Permissions::from_mode(mode)).expect("set");
        };
        mode("file", 0o600);
        mode("program", 0o700);
        symlink("program", folder.join("link")).expect("linked");
        symlink("nowhere", folder.join("dangling")).expect("linked");
        symlink("/etc/passwd", folder.join("outside")).expect("linked");
        let dir = Dir::open(io, folder).expect("opened");
        let told = |result: io::Result<()>| result.map_err(|error| Errno::from_io_error(&error).expect("an errno"));
        let (exec, all) = (Access::EXEC_OK, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
        for (name, access, expected) in [
            ("file", Access::EXISTS, Ok(())),
            ("file", Access::READ_OK | Access::WRITE_OK, Ok(())),
            ("file", exec, Err(Errno::ACCESS)),
            ("program", all, Ok(())),
            ("link", all, Ok(())),
            ("dangling", Access::EXISTS, Err(Errno::NOENT)),
            ("missing", Access::READ_OK, Err(Errno::NOENT)),
            ("file/below", Access::EXISTS, Err(Errno::NOTDIR)),
        ] {
            assert_eq!(told(fs::access(io, folder.join(name), access)), expected, "{name} {access:?}");
            assert_eq!(told(fs::access(io, dir.at(name), access)), expected, "{name} {access:?} in the directory");
        }
        assert_eq!(told(fs::access(io, folder.join("outside"), Access::EXISTS)), Ok(()));
        assert_eq!(told(fs::access(io, dir.at("outside"), Access::EXISTS)), Err(Errno::XDEV));
        assert_eq!(told(fs::access(io, &dir, all)), Ok(()), "the directory itself");
    });
}

/// `std.Io`: `Dir.stat`, `Dir.iterate`, `Dir.setPermissions`: they work on the open directory, wherever it was moved.
fn an_open_directory_is_a_place(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::create_dir_all(folder.join("old/below")).expect("made");
        std_fs::write(folder.join("old/file"), "12345").expect("written");
        let dir = Dir::open(io, folder.join("old")).expect("opened");
        std_fs::rename(folder.join("old"), folder.join("new")).expect("renamed");
        let inode = |path| std::os::unix::fs::MetadataExt::ino(&std_fs::metadata(folder.join(path)).expect("there"));
        assert_eq!(fs::metadata(io, &dir).expect("told").ino(), inode("new"));
        assert_eq!(Dir::open(io, &dir).and_then(|same| fs::metadata(io, &same)).expect("told").ino(), inode("new"));
        fs::set_permissions(io, &dir, fs::Permissions::from_mode(0o700)).expect("set");
        assert_eq!(fs::metadata(io, &dir).expect("told").mode() & 0o777, 0o700);
        let mut names = Vec::new();
        for entry in fs::read_dir(io, &dir).expect("opened") {
            let entry = entry.expect("read");
            // Its path continues from the directory.
            let metadata = fs::metadata(io, dir.at(&entry.path())).expect("there");
            names.push((entry.file_name(), metadata.len() * u64::from(metadata.is_file())));
        }
        names.sort();
        assert_eq!(names, [("below".into(), 0), ("file".into(), 5)]);
    });
}

/// zio: "file hardLink", "dir realPath and realPathFile".
fn open_files_get_names_and_places_have_paths(on: &On) {
    in_folder(on, |io, folder| {
        std_fs::create_dir(folder.join("below")).expect("made");
        symlink("below", folder.join("link")).expect("linked");
        symlink("/etc", folder.join("outside")).expect("linked");
        let (dir, root) = (Dir::open(io, folder).expect("opened"), folder.canonicalize().expect("there"));
        let file = fs::File::create(io, dir.at("below/one")).expect("created");
        file.write_all(io, b"content").expect("written");
        file.hard_link(io, dir.at("link/two")).expect("linked");
        file.hard_link(io, folder.join("three")).expect("linked");
        assert_eq!(std_fs::read(root.join("below/two")).expect("there"), b"content");
        assert_eq!(file.metadata(io).expect("told").nlink(), 3);
        assert_eq!(file.hard_link(io, folder.join("three")).expect_err("there").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(file.hard_link(io, dir.at("outside/x")).expect_err("out").kind(), io::ErrorKind::CrossesDevices);
        let nameless = fs::temp_file(io, folder).expect("created");
        nameless.write_all(io, b"late").expect("written");
        match nameless.hard_link(io, dir.at("four")) {
            Ok(()) => assert_eq!(std_fs::read(root.join("four")).expect("there"), b"late"),
            Err(error) => {
                println!("NOT looked at: a first name for a file without one, which this file system lacks: {error}")
            }
        }

        assert_eq!(fs::canonicalize(io, dir.at("link/../link/two")).expect("there"), root.join("below/two"));
        assert_eq!(fs::canonicalize(io, &dir).expect("there"), root);
        assert_eq!(fs::canonicalize(io, folder.join("link")).expect("there"), root.join("below"));
        assert_eq!(fs::canonicalize(io, dir.at("missing")).expect_err("no").kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::canonicalize(io, dir.at("outside")).expect_err("out").kind(), io::ErrorKind::CrossesDevices);
    });
}

/// zio: "Channel: close graceful", with a select that waits on either end.
fn a_close_lets_those_go_who_wait_for_many_things(on: &On) {
    on.run(|io| {
        let (full, _receiver) = channel(1);
        full.try_send(1).expect("room");
        let (_sender, empty) = channel::<u32>(1);
        scope(io, |group| {
            let receiving = started(group, io, |io| io.select((empty.on_recv(), io.now() + LONG)).map(drop));
            let sending = started(group, io, |io| {
                let mut item = Some(2);
                (io.select((full.on_send(&mut item), io.now() + LONG)).map(drop), item)
            });
            empty.close();
            full.close();
            receiving.join(io).expect("let go");
            sending.join(io).0.expect("let go");
        });
    });
}
