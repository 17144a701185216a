//! A task ends once, whatever the `Io` that begins it does.
//!
//! A double free would show here as a wrong count: of values that are dropped twice, or not at all.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use iolite_io::backend::{Refused, SpawnMode, Start, TaskRef, monotonic_now};
use iolite_io::{
    Backend, Canceled, Instant, Io, SpawnErrorKind,
    error::ShutDown,
    operation::{Operation, Output},
};

/// The action of an `Io` at the end of a task that it runs, on a thread of its own.
type Ends = dyn Fn() + Send + Sync;

struct Hostile {
    ends: Arc<Ends>,
    seen: Arc<Mutex<Vec<TaskRef>>>,
}

impl Hostile {
    fn new(ends: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { ends: Arc::new(ends), seen: Arc::default() })
    }
}

/// A separate type, so that it can be its own handle.
struct Handle(Arc<Hostile>);

impl Io for Handle {
    fn start(&self, start: Start, how: SpawnMode) -> Result<(), Refused> {
        self.0.seen.lock().unwrap().push(start.task());
        if how == SpawnMode::Waiting {
            return Err(Refused { start, kind: SpawnErrorKind::ShutDown(ShutDown) });
        }
        let ends = self.0.ends.clone();
        thread::spawn(move || {
            let _ = catch_unwind(AssertUnwindSafe(|| start.run_with(|| ends())));
        });
        Ok(())
    }

    fn operate(&self, _: Operation<'_>) -> io::Result<Output> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        monotonic_now()
    }

    fn random(&self, _: &mut [u8]) -> io::Result<()> {
        Ok(())
    }

    fn backend(&self) -> Backend {
        Backend { name: "hostile", executors: 1, detail: String::new() }
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        Some(Arc::new(Handle(self.0.clone())))
    }
}

/// Counts the number of times that it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits until only the caller has the counter.
fn until_alone(dropped: &Arc<AtomicUsize>) -> usize {
    while Arc::strong_count(dropped) > 1 {
        thread::yield_now();
    }
    dropped.load(Ordering::SeqCst)
}

#[test]
fn a_result_is_dropped_once_though_the_end_panics() {
    let hostile = Hostile::new(|| resume_unwind(Box::new("told by the end")));
    let io: &dyn Io = &Handle(hostile);
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = Counted(dropped.clone());
    let task = io.spawn_concurrent(move |_| counted).unwrap();
    // The task has still completed: this returns.
    drop(task.join(io));
    assert_eq!(until_alone(&dropped), 1);
}

/// The handle is dropped at the moment at which the result belongs to it and the end of the task is running.
#[test]
fn a_result_is_dropped_once_though_the_end_panics_while_its_handle_goes() {
    for _ in 0..100 {
        let (ending, gone) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let theirs = (ending.clone(), gone.clone());
        let hostile = Hostile::new(move || {
            theirs.0.wait();
            theirs.1.wait();
            resume_unwind(Box::new("told by the end"))
        });
        let io: &dyn Io = &Handle(hostile);
        let dropped = Arc::new(AtomicUsize::new(0));
        let counted = Counted(dropped.clone());
        let task = io.spawn_concurrent(move |_| counted).unwrap();
        ending.wait();
        drop(task);
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "the handle's");
        gone.wait();
        assert_eq!(until_alone(&dropped), 1);
    }
}

#[test]
fn members_leave_their_group_though_the_end_panics() {
    let hostile = Hostile::new(|| resume_unwind(Box::new("told by the end")));
    let io: &dyn Io = &Handle(hostile);
    let text = String::from("borrowed");
    let lengths: Result<usize, Canceled> = io.group(|group| {
        let members: Vec<_> = (0..4).map(|_| group.spawn_concurrent(|_| text.len()).unwrap()).collect();
        drop(group.spawn_concurrent(|_| text.clone()));
        Ok(members.into_iter().map(|member| member.join(io)).sum())
    });
    assert_eq!(lengths.unwrap(), 4 * text.len());
}

/// The end of a task begins another one, and drops a third without running it; each of the three ends once.
#[test]
fn the_end_of_a_task_may_begin_others() {
    struct Keeps(Arc<Mutex<Vec<Start>>>);

    impl Io for Keeps {
        fn start(&self, start: Start, _: SpawnMode) -> Result<(), Refused> {
            let mut kept = self.0.lock().unwrap();
            if kept.len() < 2 {
                kept.push(start);
                return Ok(());
            }
            let (run, dropped) = (kept.pop(), kept.pop());
            drop(kept);
            start.run_with(|| {
                run.into_iter().for_each(Start::run);
                drop(dropped);
            });
            Ok(())
        }
        fn operate(&self, _: Operation<'_>) -> io::Result<Output> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn now(&self) -> Instant {
            monotonic_now()
        }
        fn random(&self, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
        fn backend(&self) -> Backend {
            Backend { name: "keeps", executors: 1, detail: String::new() }
        }
        fn handle(&self) -> Option<Arc<dyn Io>> {
            None
        }
    }

    let io: &dyn Io = &Keeps(Arc::default());
    let dropped = Arc::new(AtomicUsize::new(0));
    let outcome = io.group(|group| {
        let members = [(); 3].map(|()| {
            let counted = Counted(dropped.clone());
            group.spawn_concurrent(move |_| counted).unwrap()
        });
        let outcomes = members.map(|member| catch_unwind(AssertUnwindSafe(|| drop(member.join(io)))).is_ok());
        Ok::<_, Canceled>(outcomes)
    });
    assert_eq!(outcome.unwrap(), [false, true, true], "the first was abandoned");
    assert_eq!(until_alone(&dropped), 3);
}

#[test]
fn a_closure_that_is_refused_comes_back_whoever_keeps_the_task() {
    let hostile = Hostile::new(|| {});
    let seen = hostile.seen.clone();
    let io: &dyn Io = &Handle(hostile);
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = Counted(dropped.clone());
    let refused = io.spawn_waiting(move |_| counted).unwrap_err();
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "it is in the closure");
    drop(refused);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    // These are the last references to the task.
    seen.iter().for_each(TaskRef::tear_down);
    drop(seen);
    assert_eq!(until_alone(&dropped), 1);
}

/// A closure that never runs panics when it is dropped, and so does the payload of that panic.
#[test]
fn a_closure_that_is_abandoned_may_panic_when_it_is_dropped() {
    struct Panics(u32);

    impl Drop for Panics {
        fn drop(&mut self) {
            if self.0 > 0 {
                resume_unwind(Box::new(Panics(self.0 - 1)));
            }
        }
    }

    struct Inline;

    impl Io for Inline {
        fn start(&self, start: Start, _: SpawnMode) -> Result<(), Refused> {
            start.run();
            Ok(())
        }
        fn operate(&self, _: Operation<'_>) -> io::Result<Output> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn now(&self) -> Instant {
            monotonic_now()
        }
        fn random(&self, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
        fn backend(&self) -> Backend {
            Backend { name: "inline", executors: 1, detail: String::new() }
        }
        fn handle(&self) -> Option<Arc<dyn Io>> {
            None
        }
    }

    /// Gives it to the innermost task, with more tasks than may nest.
    fn nest(io: &dyn Io, panics: Panics, in_group: bool, depth: u32) {
        let body = move |io: &dyn Io| match depth {
            0 => unreachable!("so many may not nest: {:?}", panics.0),
            depth => nest(io, panics, in_group, depth - 1),
        };
        if in_group {
            let _ = io.group(|group| {
                drop(group.spawn_async(body));
                Ok::<_, Canceled>(())
            });
        } else {
            drop(io.spawn_async(body));
        }
    }

    nest(&Inline, Panics(2), false, 100);
    let panic = catch_unwind(|| nest(&Inline, Panics(2), true, 100)).unwrap_err();
    let text = panic.downcast_ref::<String>().expect("that of the group of the one that was too deep");
    assert!(text.contains("inline tasks nest deeper than 40"), "{text}");
}
