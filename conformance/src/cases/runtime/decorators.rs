//! An `Io` of another crate around one of ours: well-behaved ones work, others do no harm.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use iolite_io::backend::{Refused, Report, SpawnMode, Start};
use iolite_io::fs::File;
use iolite_io::net::{TcpListener, TcpStream};
use iolite_io::sync::{Event, mpmc::channel};
use iolite_io::{
    Backend, Instant, Io, SpawnErrorKind,
    backend::Decorator,
    error::ShutDown,
    operation::{Operation, Output},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, panic_of, panic_quietly, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    members_go_through_the_groups_decorator,
    a_borrowed_decorator_starts_no_tasks_that_outlive_it,
    a_start_that_is_dropped_is_abandoned_and_said_so,
    an_io_that_refuses_another_task_is_told_so,
    an_io_that_starts_nothing_gives_closures_back_or_runs_them_inline,
    recursion_through_an_io_that_starts_nothing_panics_clearly,
    absurd_answers_are_clear_errors,
    a_park_that_returns_early_ends_no_wait,
    a_panic_out_of_start_abandons_the_task,
    a_shared_handle_is_an_io_by_reference,
    an_io_whose_report_panics_harms_no_task,
];

/// An `Io` that borrows another one and behaves differently in one or two places.
struct Around<'a> {
    io: &'a dyn Io,
    operations: AtomicUsize,
    starts: AtomicUsize,
    parks: AtomicUsize,
    on_start: OnStart,
    kept: Mutex<Option<Start>>,
    /// Answers in place of the other `Io`, if it returns an answer.
    answer: fn() -> Option<Output>,
    /// If true, every other `park` returns at once.
    restless: bool,
}

enum OnStart {
    Pass,
    Drop,
    Refuse,
    /// Keeps the first task, and refuses it when it is asked to start the second.
    Confuse,
}

impl<'a> Around<'a> {
    fn new(io: &'a dyn Io) -> Self {
        Self {
            io,
            operations: AtomicUsize::new(0),
            starts: AtomicUsize::new(0),
            parks: AtomicUsize::new(0),
            on_start: OnStart::Pass,
            kept: Mutex::new(None),
            answer: || None,
            restless: false,
        }
    }

    fn counts(&self) -> (usize, usize) {
        (self.operations.load(Ordering::Relaxed), self.starts.load(Ordering::Relaxed))
    }
}

impl Decorator for Around<'_> {
    fn inner(&self) -> &dyn Io {
        self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        match self.on_start {
            OnStart::Pass => self.io.start(start, how),
            OnStart::Drop => {
                drop(start);
                Ok(())
            }
            OnStart::Refuse => Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) }),
            OnStart::Confuse => match self.kept.lock().expect("nobody panics with it").replace(start) {
                None => Ok(()),
                Some(start) => Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) }),
            },
        }
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        match (self.answer)() {
            Some(output) => Ok(output),
            None => self.io.operate(operation),
        }
    }

    fn park(&self, deadline: Option<Instant>) {
        if self.restless && self.parks.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return self.io.yield_now();
        }
        self.io.park(deadline);
    }

    fn backend(&self) -> Backend {
        Backend { name: "around", detail: self.io.backend().to_string(), ..self.io.backend() }
    }
}

fn members_go_through_the_groups_decorator(on: &On) {
    on.run(|io| {
        let around = Around::new(io);
        let (client, server) = tcp_pair(io);
        scope(&around as &dyn Io, |group| {
            drop(concurrently(group, |io| {
                assert_eq!(io.backend().name, "around");
                scope(io, |inner| drop(concurrently(inner, |io| client.write_all(io, b"hello").expect("sent"))));
            }));
            server.read_exact(&around, &mut [0; 5]).expect("received");
        });
        let (operations, starts) = around.counts();
        assert!(operations >= 2, "{operations}");
        assert_eq!(starts, 2);
    });
}

fn a_borrowed_decorator_starts_no_tasks_that_outlive_it(on: &On) {
    on.run(|io| {
        let around = Around::new(io);
        let around: &dyn Io = &around;
        let error = around.spawn_concurrent(|_| 5).expect_err("no handle");
        assert!(matches!(error.kind, SpawnErrorKind::NoHandle), "{error}");
        assert!(error.to_string().contains("group"), "it says what to do: {error}");
        assert_eq!((error.closure)(io), 5);
        assert!(matches!(around.spawn_waiting(|_| ()).expect_err("no handle").kind, SpawnErrorKind::NoHandle));
        assert!(matches!(around.spawn_thread("one", |_| ()).expect_err("no handle").kind, SpawnErrorKind::NoHandle));
        let task = around.spawn_async(|io| (io.backend().name, thread::current().id()));
        assert!(task.is_finished(), "inline");
        assert_eq!(task.join(around), ("around", thread::current().id()));
    });
}

fn a_start_that_is_dropped_is_abandoned_and_said_so(on: &On) {
    on.run(|io| {
        let mut around = Around::new(io);
        around.on_start = OnStart::Drop;
        let precious = Arc::new(());
        scope(&around as &dyn Io, |group| {
            let held = precious.clone();
            let member = concurrently(group, move |_| held);
            let text = panic_of(|| member.join(io));
            assert!(text.contains("abandoned"), "{text}");
            assert_eq!(group.len(), 0);
        });
        assert_eq!(Arc::strong_count(&precious), 1, "what the closure owned is dropped");
        let text = panic_of(|| scope(&around as &dyn Io, |group| drop(concurrently(group, |_| ()))));
        assert!(text.contains("abandoned"), "without a handle it is the group's: {text}");
    });
}

/// Neither of the two is left behind so that the group would wait for it. Nobody has a handle of the second one, so the
/// group reports it.
fn an_io_that_refuses_another_task_is_told_so(on: &On) {
    on.run(|io| {
        let mut around = Around::new(io);
        around.on_start = OnStart::Confuse;
        let text = panic_of(|| {
            scope(&around as &dyn Io, |group| {
                let first = concurrently(group, |_| ());
                let text = panic_of(|| group.spawn_concurrent(|_| ()).map(drop));
                assert!(text.contains("refused another task"), "{text}");
                let text = panic_of(|| first.join(io));
                assert!(text.contains("abandoned"), "{text}");
                assert_eq!(group.len(), 1);
                drop(around.kept.lock().expect("nobody panicked with it").take());
                assert_eq!(group.len(), 0);
            });
        });
        assert!(text.contains("abandoned"), "{text}");
    });
}

fn an_io_that_starts_nothing_gives_closures_back_or_runs_them_inline(on: &On) {
    on.run(|io| {
        let mut around = Around::new(io);
        around.on_start = OnStart::Refuse;
        scope(&around as &dyn Io, |group| {
            let error = group.spawn_concurrent(|_| 5).expect_err("refused");
            assert!(matches!(error.kind, SpawnErrorKind::ShutDown(ShutDown)), "{error}");
            assert_eq!((error.closure)(io), 5);
            assert_eq!(group.spawn_async(|_| 6).join(io), 6);
            assert!(group.is_empty());
        });
    });
}

fn recurse_in_groups(io: &dyn Io, depth: u32) -> u32 {
    scope(io, |group| {
        group.spawn_async(|io| if depth == 0 { 0 } else { 1 + recurse_in_groups(io, depth - 1) }).join(io)
    })
}

fn recurse(io: &dyn Io, depth: u32) -> u32 {
    // There is no handle: the task runs inline before this returns, and passes on the decorator.
    if depth == 0 { 0 } else { 1 + io.spawn_async(move |io| recurse(io, depth - 1)).join(io) }
}

/// There is no unit of concurrency at all: the panic at the limit leaves no member behind that a group would wait for.
fn recursion_through_an_io_that_starts_nothing_panics_clearly(on: &On) {
    on.run(|io| {
        let mut around = Around::new(io);
        around.on_start = OnStart::Refuse;
        for recurse in [recurse, recurse_in_groups] {
            assert_eq!(recurse(&around, 25), 25);
            let text = panic_of(|| recurse(&around, 100_000));
            assert!(text.contains("inline tasks nest deeper than 40"), "{text}");
        }
    });
}

/// `Io` is a safe trait: a count that exceeds the buffer reaches no caller.
fn absurd_answers_are_clear_errors(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create(io, folder.path().join("file")).expect("made");
        let (client, _server) = tcp_pair(io);
        let answers: [fn() -> Option<Output>; 4] = [
            || Some(Output::Count(usize::MAX)),
            || Some(Output::Count(11)),
            || Some(Output::Done),
            || Some(Output::Position(3)),
        ];
        for answer in answers {
            let mut around = Around::new(io);
            around.answer = answer;
            let mut buffer = [0; 10];
            let mut parts = [io::IoSliceMut::new(&mut buffer)];
            let errors = [
                client.read_vectored(&around, &mut parts).map(drop),
                client.read(&around, &mut [0; 10]).map(drop),
                client.read_exact(&around, &mut [0; 10]),
                client.write(&around, &[0; 10]).map(drop),
                client.write_all(&around, &[0; 10]),
                client.local_addr(&around).map(drop),
                file.read_at(&around, &mut [0; 10], 0).map(drop),
                TcpStream::connect(&around, "127.0.0.1:1").map(drop),
                File::open(&around, "/dev/null").map(drop),
            ];
            for (number, result) in errors.into_iter().enumerate() {
                let error = result.expect_err("absurd");
                assert!(error.to_string().contains("which does not fit the operation"), "{number}: {error}");
            }
        }
    });
}

/// Spurious wake-ups are legal: every wait checks its condition in a loop.
fn a_park_that_returns_early_ends_no_wait(on: &On) {
    on.run(|io| {
        let mut around = Around::new(io);
        around.restless = true;
        let around: &dyn Io = &around;
        let begin = around.now();
        around.sleep(Duration::from_millis(3)).expect("not canceled");
        assert!(around.now() - begin >= Duration::from_millis(3));
        let (sender, receiver) = channel(0);
        let event = Event::new();
        scope(around, |group| {
            drop(concurrently(group, |io| (0..100).for_each(|item| sender.send(io, item).expect("received"))));
            let sum: u32 = (0..100).map(|_| receiver.recv(around).expect("sent")).sum();
            assert_eq!(sum, 4950);
            let waiter = concurrently(group, |io| event.wait(io));
            around.yield_now();
            event.set();
            waiter.join(around).expect("not canceled");
            let canceled = concurrently(group, |io| io.sleep(Duration::from_secs(3600)));
            canceled.cancel(around).expect_canceled("canceled");
        });
    });
}

/// Unwinding through `start` does no harm: the task is abandoned.
fn a_panic_out_of_start_abandons_the_task(on: &On) {
    struct Panics<'a>(Around<'a>);
    impl Decorator for Panics<'_> {
        fn inner(&self) -> &dyn Io {
            &self.0
        }

        fn handle(&self) -> Option<Arc<dyn Io>> {
            None
        }

        fn start(&self, _start: Start, _: SpawnMode) -> Result<(), Refused> {
            crate::tools::panic_quietly("out of start")
        }
    }
    on.run(|io| {
        let panics = Panics(Around::new(io));
        let precious = Arc::new(());
        let text = panic_of(|| {
            scope(&panics as &dyn Io, |group| {
                let held = precious.clone();
                drop(group.spawn_async(move |_| held));
            });
        });
        assert_eq!(text, "out of start");
        assert_eq!(Arc::strong_count(&precious), 1);
    });
}

/// A reference to an `Arc` can be passed as an `&dyn Io`, and is the same `Io`.
fn a_shared_handle_is_an_io_by_reference(on: &On) {
    fn use_it(io: &dyn Io) -> String {
        let (sender, receiver) = channel(1);
        let task = io.spawn_waiting(move |io| sender.send(io, 7).is_ok()).expect("started");
        assert_eq!(receiver.recv(io).expect("sent"), 7);
        assert!(task.join(io));
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let client = TcpStream::connect(io, listener.local_addr(io).expect("bound")).expect("connected");
        listener.incoming(io).next(io).expect("accepted").write_all(io, b"x").expect("sent");
        client.read_exact(io, &mut [0]).expect("received");
        scope(io, |group| concurrently(group, |io| io.sleep(Duration::from_secs(3600))).cancel(io))
            .expect_canceled("it is asked to stop");
        io.backend().to_string()
    }
    on.run(|io| {
        let shared = io.handle().expect("a handle");
        assert_eq!(use_it(&shared), io.backend().to_string());
        // As an argument, through a field, and wrapped twice.
        let kept: Arc<dyn Io> = Arc::new(shared.clone());
        assert_eq!(use_it(&kept), io.backend().to_string());
        let dyn_io: &dyn Io = &shared;
        assert!(dyn_io.handle().is_some());
        assert_eq!(dyn_io.multishot().is_some(), io.multishot().is_some());
    });
}

/// It is called during the unwinding of a task, where a panic that continues would end the process.
fn an_io_whose_report_panics_harms_no_task(on: &On) {
    struct Reports<'a>(&'a dyn Io);

    impl Decorator for Reports<'_> {
        fn inner(&self) -> &dyn Io {
            self.0
        }

        fn handle(&self) -> Option<Arc<dyn Io>> {
            None
        }

        fn report(&self) -> Option<Report> {
            panic_quietly("out of the report")
        }
    }

    on.run(|io| {
        let io = &Reports(io) as &dyn Io;
        let panic = panic_of(|| scope(io, |group| concurrently(group, |_| panic_quietly("a bug")).join(io)));
        assert_eq!(panic, "a bug");
        let panic = panic_of(|| scope(io, |group| drop(concurrently(group, |_| panic_quietly("a bug")))));
        assert_eq!(panic, "a bug");
    });
}
