//! Code of the program that runs without being called by the program: destructors of errors, results, panics and
//! task-local values. It may panic, wait and call back, and no scope ends before its members because of it.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use iolite_io::sync::{Event, broadcast};
use iolite_io::{Io, OwnedGroup, completion::CompletionQueue, fiber_local};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Watchdog, panic_of, panic_quietly, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    an_error_of_a_body_that_is_not_the_first_may_panic_when_it_is_dropped,
    an_error_of_a_member_that_is_not_the_first_may_panic_when_it_is_dropped,
    what_a_scope_does_not_return_may_panic_when_it_is_dropped(Scope::Group),
    what_a_scope_does_not_return_may_panic_when_it_is_dropped(Scope::TryGroup),
    what_a_scope_does_not_return_may_panic_when_it_is_dropped(Scope::JoinSet),
    a_panic_that_nobody_asks_for_is_dropped_in_its_task(Asks::Never),
    a_panic_that_nobody_asks_for_is_dropped_in_its_task(Asks::NoMore),
    a_panic_that_nobody_asks_for_is_dropped_with_the_group,
    a_result_that_nobody_takes_is_dropped_in_its_task,
    the_end_of_a_thread_may_start_tasks,
    a_panic_ends_the_timeout_and_the_shield_that_it_passes,
    a_tag_may_use_its_queue_when_it_is_dropped,
    an_item_may_use_the_channel_that_holds_it,
];

const LONG: Duration = Duration::from_secs(3600);

/// Does what any destructor of a program may do, and reports that it has run.
struct Drops {
    dropped: Arc<Event>,
    /// The destructor waits in between, if there is an `Io`.
    waits: Option<Arc<dyn Io>>,
    panics: bool,
}

impl Drop for Drops {
    fn drop(&mut self) {
        if let Some(io) = &self.waits {
            io.shield(|io| io.sleep(Duration::from_micros(10))).expect("it is shielded");
        }
        self.dropped.set();
        // A second panic during an unwinding aborts, here as everywhere.
        if self.panics && !thread::panicking() {
            // The destructor of its payload panics too.
            resume_unwind(Box::new(Drops { dropped: Arc::default(), waits: None, panics: true }));
        }
    }
}

fn panics(dropped: &Arc<Event>) -> Drops {
    Drops { dropped: dropped.clone(), waits: None, panics: true }
}

/// Returns a member of a scope that does not end before `go` is set, and ends late.
fn slow(go: &Event, ended: &AtomicBool) -> impl FnOnce(&dyn Io) + Send {
    |io| {
        go.wait_uncancelable(io);
        (0..50).for_each(|_| io.yield_now());
        ended.store(true, Ordering::SeqCst);
    }
}

/// Runs the closure, asserts that the member has `ended`, and leaks the panic, whose destructor may panic.
fn outlives(ended: &AtomicBool, run: impl FnOnce()) {
    let outcome = catch_unwind(AssertUnwindSafe(run));
    assert!(ended.load(Ordering::SeqCst), "the scope has ended before its member");
    std::mem::forget(outcome);
}

fn an_error_of_a_body_that_is_not_the_first_may_panic_when_it_is_dropped(on: &On) {
    on.run(|io| {
        let (ended, dropped) = (AtomicBool::new(false), Arc::new(Event::new()));
        outlives(&ended, || {
            let (ended, go) = (&ended, dropped.clone());
            let _: Result<(), Drops> = io.try_group(|group| {
                let member = move |io: &dyn Io| {
                    slow(&go, ended)(io);
                    Ok(())
                };
                drop(group.spawn_concurrent(member).expect("concurrent"));
                let first = Drops { dropped: Arc::default(), waits: None, panics: false };
                let failing = group.spawn_concurrent(|_| Err::<(), _>(first)).expect("concurrent");
                failing.join(io).expect_canceled("it has failed");
                Err(panics(&dropped))
            });
        });
    });
}

fn an_error_of_a_member_that_is_not_the_first_may_panic_when_it_is_dropped(on: &On) {
    on.run(|io| {
        let (ended, dropped) = (AtomicBool::new(false), Arc::new(Event::new()));
        outlives(&ended, || {
            let (ended, go) = (&ended, dropped.clone());
            let _: Result<(), Drops> = io.try_group(|group| {
                let member = move |io: &dyn Io| {
                    slow(&go, ended)(io);
                    Ok(())
                };
                drop(group.spawn_concurrent(member).expect("concurrent"));
                let first = Drops { dropped: Arc::default(), waits: None, panics: false };
                let failing = group.spawn_concurrent(|_| Err::<(), _>(first)).expect("concurrent");
                failing.join(io).expect_canceled("it has failed");
                let second = panics(&dropped);
                drop(group.spawn_async(|_| Err::<(), _>(second)));
                Ok(())
            });
        });
    });
}

#[derive(Clone, Copy)]
enum Scope {
    Group,
    TryGroup,
    JoinSet,
}

/// A member's panic is resumed, and therefore the results of the body and of members are dropped.
fn what_a_scope_does_not_return_may_panic_when_it_is_dropped(on: &On, kind: Scope) {
    on.run(|io| {
        let dropped = [(); 2].map(|()| Arc::new(Event::new()));
        let [one, other] = dropped.each_ref().map(panics);
        let panic = panic_of(|| match kind {
            Scope::Group => {
                let _ = io.group(|group| {
                    drop(group.spawn_async(|_| panic_quietly("a member's")));
                    Err::<Drops, _>((one, other))
                });
            }
            Scope::TryGroup => {
                let _ = io.try_group(|group| {
                    let failing = group.spawn_async(|_| Err::<(), _>(one));
                    failing.join(io).expect_canceled("it has failed");
                    drop(group.spawn_async(|_| -> Result<(), _> { panic_quietly("a member's") }));
                    Ok(other)
                });
            }
            Scope::JoinSet => {
                let _ = io.join_set(|set| -> Result<(), ()> {
                    set.spawn_async(|_| one);
                    set.spawn_async(|_| other);
                    until(io, || set.running() == 0);
                    panic_quietly("a member's")
                });
            }
        });
        assert_eq!(panic, "a member's");
        for dropped in dropped {
            assert!(dropped.is_set());
        }
    });
}

/// The choice whether somebody asks a group for the panics of its members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Never,
    NoMore,
}

fn a_panic_that_nobody_asks_for_is_dropped_in_its_task(on: &On, asks: Asks) {
    // One after another, on the only worker and the only executor, so that any damage shows.
    let on = &on.async_limit(0).concurrent_limit(2).executors(1);
    on.run(|io| {
        let handle = io.handle().expect("a handle");
        for panics in [false, true] {
            let dropped = Arc::new(Event::new());
            let payload = Drops { dropped: dropped.clone(), waits: Some(handle.clone()), panics };
            let body = move |io: &dyn Io| -> () {
                io.sleep(LONG).expect_canceled("it is torn down");
                resume_unwind(Box::new(payload))
            };
            match asks {
                Asks::Never => drop(io.spawn_concurrent(body).expect("concurrent")),
                Asks::NoMore => {
                    let group = OwnedGroup::new(handle.clone());
                    drop(group.spawn_concurrent(body).expect("concurrent"));
                }
            }
            dropped.wait(io).expect("not canceled");
            let next = io.spawn_waiting(|_| 7).expect("there is a worker");
            assert_eq!(next.join(io), 7);
        }
    });
}

/// The group owns the panic when it is dropped.
fn a_panic_that_nobody_asks_for_is_dropped_with_the_group(on: &On) {
    on.run(|io| {
        let (dropped, group) = (Arc::new(Event::new()), OwnedGroup::new(io.handle().expect("a handle")));
        let payload = panics(&dropped);
        drop(group.spawn_async(|_| -> () { resume_unwind(Box::new(payload)) }));
        until(io, || group.is_empty());
        assert!(!dropped.is_set(), "somebody may ask for it");
        drop(group);
        assert!(dropped.is_set());
    });
}

/// The number of a task, whose destructor reports it.
#[derive(Default)]
struct Number(Cell<usize>, RefCell<Option<Arc<AtomicUsize>>>);

impl Drop for Number {
    fn drop(&mut self) {
        if let Some(told) = self.1.take() {
            told.fetch_add(self.0.get(), Ordering::SeqCst);
        }
    }
}

fiber_local! {
    static BEFORE: Number = Number::default();
    static AFTER: Number = Number::default();
}

/// Its destructor waits, and uses a task-local value that exists and one that does not.
struct Logs(Arc<dyn Io>, Arc<AtomicUsize>, Arc<Event>);

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.shield(|io| io.sleep(Duration::from_micros(10))).expect("it is shielded");
        AFTER.with(|number| {
            number.0.set(100);
            number.1.replace(Some(self.1.clone()));
        });
        self.2.set();
        panic_quietly("a result's");
    }
}

fn a_result_that_nobody_takes_is_dropped_in_its_task(on: &On) {
    let on = &on.async_limit(0).concurrent_limit(2).executors(1);
    on.run(|io| {
        let (told, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(Event::new()));
        let logs = Logs(io.handle().expect("a handle"), told.clone(), dropped.clone());
        let (go, theirs) = (Arc::new(Event::new()), told.clone());
        let begin = go.clone();
        let task = io.spawn_concurrent(move |io| {
            begin.wait_uncancelable(io);
            BEFORE.with(|number| {
                number.0.set(10);
                number.1.replace(Some(theirs));
            });
            logs
        });
        task.expect("concurrent").detach();
        go.set();
        dropped.wait(io).expect("not canceled");
        // Its slot is free when nothing of it is left.
        scope(io, |group| {
            let both = [(); 2].map(|()| group.spawn_waiting(|_| {}).expect("there is room"));
            both.into_iter().for_each(|member| member.join(io));
        });
        until(io, || told.load(Ordering::SeqCst) == 110);
    });
}

thread_local! {
    static AT_END: RefCell<Option<StartsTasks>> = const { RefCell::new(None) };
}

/// Its destructor starts tasks, and waits for them.
struct StartsTasks(Arc<dyn Io>, Arc<AtomicUsize>);

impl Drop for StartsTasks {
    fn drop(&mut self) {
        let (io, text) = (&*self.0, String::from("text"));
        let count = scope(io, |group| {
            let inline = group.spawn_async(|_| text.len()).join(io);
            // The runtime may be shutting down.
            let beside = group.spawn_concurrent(|_| text.len()).map_or(text.len(), |member| member.join(io));
            inline + beside
        });
        self.1.fetch_add(count, Ordering::SeqCst);
    }
}

fn the_end_of_a_thread_may_start_tasks(on: &On) {
    for limit in [0, 4] {
        let _watchdog = Watchdog::start();
        let on = &on.async_limit(limit);
        let runtime = on.start();
        let io = runtime.io();
        let counted = Arc::new(AtomicUsize::new(0));
        let ends = || AT_END.set(Some(StartsTasks(io.handle().expect("a handle"), counted.clone())));
        thread::scope(|scope| {
            // The first thread has used the runtime before, the second has not. They are joined, because the scope does
            // not wait for their destructors.
            let first = scope.spawn(|| {
                ends();
                assert_eq!(io.spawn_async(|_| 1).join(io), 1);
            });
            [first, scope.spawn(ends)]
                .into_iter()
                .for_each(|thread| thread.join().expect("its destructors do not panic"));
        });
        assert_eq!(counted.load(Ordering::SeqCst), 2 * 8);
        // A thread of the runtime itself, and, if tasks are threads, a worker.
        let theirs = (io.handle().expect("a handle"), counted.clone());
        let set = |(io, counted)| AT_END.set(Some(StartsTasks(io, counted)));
        let ending = io.spawn_thread("ends", move |_| set(theirs)).map_err(|error| error.kind).expect("a thread");
        ending.join(io);
        if on.tasks_are_threads() {
            let theirs = (io.handle().expect("a handle"), counted.clone());
            scope(io, |group| started(group, io, move |_| set(theirs)).join(io));
        }
        runtime.shutdown();
    }
}

fn a_panic_ends_the_timeout_and_the_shield_that_it_passes(on: &On) {
    on.run(|io| {
        let panic = panic_of(|| {
            io.timeout(Duration::ZERO, |io| -> Result<(), std::io::Error> { io.shield(|_| panic_quietly("inside")) })
        });
        assert_eq!(panic, "inside");
        io.check_cancel().expect("the timeout, whose time is over, has ended");
        scope(io, |group| {
            let task = started(group, io, |io| {
                panic_of(|| io.shield(|_| panic_quietly("inside")));
                io.sleep(LONG)
            });
            task.cancel(io).expect_canceled("the shield has ended");
        });
    });
}

/// The queue that contains it, once it is queued.
struct Tag(Weak<CompletionQueue<Tag, Tag>>, Arc<AtomicUsize>);

impl Drop for Tag {
    fn drop(&mut self) {
        if let Some(queue) = self.0.upgrade() {
            queue.is_empty();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn a_tag_may_use_its_queue_when_it_is_dropped(on: &On) {
    on.run(|io| {
        let (queue, dropped) = (Arc::new(CompletionQueue::new(io.handle().expect("a handle"))), Arc::default());
        let tag = || Tag(Arc::downgrade(&queue), Arc::clone(&dropped));
        assert!(queue.cancel(queue.timer(LONG, tag())));
        queue.timer(LONG, tag());
        queue.cancel_all();
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
        // One that is refused, and one whose result is dropped.
        let result = tag();
        queue.submit(tag(), move |_| result).map_err(|error| error.kind).expect("there is room");
        drop(queue.wait(io).expect("not canceled"));
        assert_eq!(dropped.load(Ordering::SeqCst), 4);
    });
}

/// Sends on the channel when it is cloned, and when it is dropped.
struct Item(u32, broadcast::Sender<Item>);

impl Clone for Item {
    fn clone(&self) -> Self {
        let _ = self.1.send(Item(0, self.1.clone()));
        Item(self.0, self.1.clone())
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if self.0 > 0 {
            let _ = self.1.send(Item(0, self.1.clone()));
        }
    }
}

fn an_item_may_use_the_channel_that_holds_it(on: &On) {
    on.run(|io| {
        let (sender, mut receiver) = broadcast::channel(2);
        let mut other = receiver.clone();
        for number in 1..10 {
            // From the third item on, the oldest one is dropped.
            assert!(sender.send(Item(number, sender.clone())).is_ok(), "there are receivers");
        }
        for receiver in [&mut receiver, &mut other] {
            while receiver.try_recv().is_err() {}
            assert!(!receiver.is_empty(), "it has sent another");
        }
        io.check_cancel().expect("not canceled");
    });
}
