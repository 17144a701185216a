//! Groups that have failed: they end and report the failure. Groups that contain panics continue.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iolite_io::net::{TcpListener, TcpStream};
use iolite_io::sync::Event;
use iolite_io::{Canceled, Group, Io, OwnedGroup, SpawnErrorKind, completion::CompletionQueue};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, panic_of, panic_quietly, scope, until};

pub(crate) const CASES: &[Case] = cases![
    a_panic_of_a_member_ends_a_body_that_waits,
    a_panic_of_a_member_ends_a_body_that_accepts,
    a_panic_of_a_member_ends_a_body_that_takes_results,
    a_shield_in_a_body_holds_the_failure_back,
    a_group_that_has_failed_starts_nothing_until_that_is_told,
    what_follows_a_group_that_has_failed_is_not_affected,
    a_contained_panic_is_counted_and_told_by_name(Owner::Scope),
    a_contained_panic_is_counted_and_told_by_name(Owner::Owned),
    a_server_survives_a_handler,
    a_panic_of_a_task_is_told_by_name_and_place(panics_in_a_task),
    a_panic_of_a_task_is_told_by_name_and_place(panics_in_a_detached_task),
    a_panic_of_a_task_is_told_by_name_and_place(panics_in_a_member),
    a_panic_of_a_task_is_told_by_name_and_place(panics_in_a_member_that_may_fail),
    a_panic_of_a_task_is_told_by_name_and_place(panics_in_a_task_whose_result_is_taken),
    a_panic_of_a_task_is_told_by_name_and_place(panics_in_an_operation),
];

const LONG: Duration = Duration::from_secs(3600);

fn a_panic_of_a_member_ends_a_body_that_waits(on: &On) {
    on.run(|io| {
        for round in 0..20 {
            let go = Event::new();
            let panic = panic_of(|| {
                io.group(|group| -> Result<(), Canceled> {
                    drop(concurrently(group, |io| {
                        go.wait_uncancelable(io);
                        (0..round % 4).for_each(|_| io.yield_now());
                        panic_quietly("a member's")
                    }));
                    go.set();
                    // Every cancellation point: a loop that ignores errors ends, too.
                    let _ = io.sleep(LONG);
                    let _ = io.sleep(LONG);
                    io.sleep(LONG)
                })
            });
            assert_eq!(panic, "a member's");
        }
    });
}

fn a_panic_of_a_member_ends_a_body_that_accepts(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let panic = panic_of(|| {
            io.group(|group| -> io::Result<()> {
                drop(concurrently(group, |_| panic_quietly("a member's")));
                loop {
                    listener.accept(io)?;
                }
            })
        });
        assert_eq!(panic, "a member's");
    });
}

fn a_panic_of_a_member_ends_a_body_that_takes_results(on: &On) {
    on.run(|io| {
        let panic = panic_of(|| {
            io.join_set(|set| -> Result<(), Canceled> {
                set.spawn_concurrent(|io| io.sleep(LONG).expect_canceled("torn down")).expect("concurrent");
                set.spawn_concurrent(|_| panic_quietly("a member's")).expect("concurrent");
                // One task is torn down, and its result may come first.
                while set.next(io)?.is_some() {}
                io.sleep(LONG)
            })
        });
        assert_eq!(panic, "a member's");
    });
}

fn a_shield_in_a_body_holds_the_failure_back(on: &On) {
    on.run(|io| {
        let panic = panic_of(|| {
            io.group(|group| -> Result<(), Canceled> {
                drop(concurrently(group, |_| panic_quietly("a member's")));
                until(io, || group.is_empty());
                io.shield(|io| io.sleep(Duration::from_micros(10))).expect("it is shielded");
                io.check_cancel().expect_canceled("the shield has ended");
                Ok(())
            })
        });
        assert_eq!(panic, "a member's");
    });
}

/// Until its panic was reported, a group starts no task, which would only be torn down.
fn a_group_that_has_failed_starts_nothing_until_that_is_told(on: &On) {
    on.run(|io| {
        let group = OwnedGroup::new(io.handle().expect("a handle"));
        drop(group.spawn_async(|_| panic_quietly("a member's")));
        until(io, || group.is_empty());
        let refused = [
            group.spawn_concurrent(|_| ()).map_err(SpawnErrorKind::from),
            group.spawn_waiting(|_| ()).map_err(SpawnErrorKind::from),
        ];
        for refused in refused {
            let kind = refused.expect_err("the group has failed");
            assert!(matches!(kind, SpawnErrorKind::Canceled(_)), "{kind}");
        }
        group.spawn_async(|io| io.check_cancel()).join(io).expect_canceled("it is torn down");
        assert_eq!(panic_of(|| group.wait(io)), "a member's");
        group.spawn_async(|io| io.check_cancel()).join(io).expect("it is for use again");
    });
}

fn what_follows_a_group_that_has_failed_is_not_affected(on: &On) {
    on.run(|io| {
        scope(io, |group| {
            // The same holds in a group around it.
            let panic = panic_of(|| scope(io, |group| drop(concurrently(group, |_| panic_quietly("a member's")))));
            assert_eq!(panic, "a member's");
            io.check_cancel().expect("not the outer body");
            concurrently(group, |io| io.check_cancel()).join(io).expect("nor its members");
        });
        io.check_cancel().expect("nor what follows");
    });
}

#[derive(Clone, Copy)]
enum Owner {
    Scope,
    Owned,
}

fn a_contained_panic_is_counted_and_told_by_name(on: &On, owner: Owner) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let lines = told.clone();
    let on = &on.grace(LONG, move |line| lines.lock().expect("nobody panics with it").push(line.to_owned()));
    on.run(|io| {
        match owner {
            Owner::Scope => scope(io, |group| contains(io, group)),
            Owner::Owned => contains(io, &OwnedGroup::new(io.handle().expect("a handle"))),
        }
        let told = std::mem::take(&mut *told.lock().expect("nobody panics with it"));
        assert_eq!(told.len(), 2, "{told:?}");
        for line in told {
            assert!(line.starts_with("the task handler, started at ") && line.contains(file!()), "{line}");
            assert!(line.ends_with(", has panicked, and its group goes on: a bug"), "{line}");
        }
    });
}

/// The panic is reported once, even if a joiner resumes it: std names only the thread, on which many tasks run.
fn a_panic_of_a_task_is_told_by_name_and_place(on: &On, panics: fn(&dyn Io) -> (&'static str, u32)) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let lines = told.clone();
    let on = &on.grace(LONG, move |line| lines.lock().expect("nobody panics with it").push(line.to_owned()));
    on.run(|io| {
        let (name, line) = panics(io);
        until(io, || !told.lock().expect("nobody panics with it").is_empty());
        let told = std::mem::take(&mut *told.lock().expect("nobody panics with it"));
        assert_eq!(told.len(), 1, "{told:?}");
        let site = format!("started at {}:{line}:", file!());
        assert!(told[0].contains(name) && told[0].contains(&site) && told[0].contains("has panicked"), "{told:?}");
    });
}

fn panics_in_a_task(io: &dyn Io) -> (&'static str, u32) {
    let (task, line) = (io.task().name("worker").spawn_concurrent(|_| panic_quietly("a bug")), line!());
    let task = task.expect("concurrent");
    assert_eq!(panic_of(|| task.join(io)), "a bug");
    ("the task worker,", line)
}

fn panics_in_a_detached_task(io: &dyn Io) -> (&'static str, u32) {
    let (task, line) = (io.spawn_async(|_| panic_quietly("a bug")), line!());
    task.detach();
    ("panics_in_a_detached_task", line)
}

fn panics_in_a_member(io: &dyn Io) -> (&'static str, u32) {
    let mut line = 0;
    let panic = panic_of(|| {
        scope(io, |group| {
            let member = group.spawn_waiting(|_| panic_quietly("a bug"));
            line = line!() - 1;
            drop(member.expect("not canceled"));
        });
    });
    assert_eq!(panic, "a bug");
    ("panics_in_a_member", line)
}

fn panics_in_a_member_that_may_fail(io: &dyn Io) -> (&'static str, u32) {
    let mut line = 0;
    let panic = panic_of(|| {
        io.try_group(|group| -> io::Result<()> {
            let member = group.spawn_async(|_| -> io::Result<()> { panic_quietly("a bug") });
            line = line!() - 1;
            drop(member);
            Ok(())
        })
    });
    assert_eq!(panic, "a bug");
    ("panics_in_a_member_that_may_fail", line)
}

fn panics_in_a_task_whose_result_is_taken(io: &dyn Io) -> (&'static str, u32) {
    let mut line = 0;
    let panic = panic_of(|| {
        io.join_set(|set| -> Result<(), Canceled> {
            set.spawn_async(|_| panic_quietly("a bug"));
            line = line!() - 1;
            Ok(())
        })
    });
    assert_eq!(panic, "a bug");
    ("panics_in_a_task_whose_result_is_taken", line)
}

fn panics_in_an_operation(io: &dyn Io) -> (&'static str, u32) {
    let queue = CompletionQueue::<(), ()>::new(io.handle().expect("a handle"));
    let (begun, line) = (queue.submit((), |_| panic_quietly("a bug")), line!());
    begun.expect("concurrent");
    assert_eq!(panic_of(|| queue.wait(io)), "a bug");
    ("panics_in_an_operation", line)
}

fn contains(io: &dyn Io, group: &Group<'_, '_>) {
    group.contain_panics();
    let (go, begun) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (wait, theirs) = (go.clone(), begun.clone());
    let sibling = group.spawn_concurrent(move |io| {
        theirs.set();
        wait.wait(io)
    });
    begun.wait_uncancelable(io);
    for _ in 0..2 {
        let task = group.task().name("handler");
        drop(task.spawn_concurrent(|_| panic_quietly("a bug")).expect("a unit is free"));
    }
    until(io, || group.contained_panics() == 2);
    io.check_cancel().expect("it is not the body's");
    go.set();
    sibling.expect("a unit is free").join(io).expect("nor its siblings'");
    // If a task is joined, its panic belongs to the joiner.
    let joined = group.spawn_async(|_| panic_quietly("a joiner's"));
    assert_eq!(panic_of(|| joined.join(io)), "a joiner's");
    group.wait(io).expect("nor the group's");
}

/// The server of the README.
fn a_server_survives_a_handler(on: &On) {
    let on = &on.grace(LONG, |_| {});
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("bound");
        let serve = |io: &dyn Io| -> io::Result<()> {
            io.group(|group| {
                group.contain_panics();
                loop {
                    let (stream, _) = listener.accept(io)?;
                    group.spawn_waiting(move |io| {
                        let mut buffer = [0; 64];
                        while let Ok(count @ 1..) = stream.read(io, &mut buffer) {
                            if &buffer[..count] == b"boom" {
                                panic_quietly("a bug in one handler");
                            }
                            stream.write_all(io, &buffer[..count]).expect("the client reads");
                        }
                    })?;
                }
            })
        };
        scope(io, |group| {
            let server = concurrently(group, serve);
            let ask = |client: &TcpStream, text: &[u8]| {
                client.write_all(io, text).expect("sent");
                let mut buffer = [0; 64];
                let count = client.read(io, &mut buffer).expect("an answer, or the end");
                buffer[..count].to_vec()
            };
            let connect = || TcpStream::connect(io, address).expect("connected");
            let bystander = connect();
            assert_eq!(ask(&bystander, b"hi"), b"hi");
            assert_eq!(ask(&connect(), b"boom"), b"");
            assert_eq!(ask(&bystander, b"hi"), b"hi", "who was there before");
            assert_eq!(ask(&connect(), b"hi"), b"hi", "who comes later");
            let error = server.cancel(io).expect_err("it serves until then");
            assert!(Canceled::is_in(&error), "{error}");
        });
    });
}
