//! Runtimes that are misused, or to which the system refuses something.

mod support;

use iolite_conformance::tools::again;
use iolite_conformance::{Case, whole};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use iolite_evented::{Evented, Options};
use iolite_io::sync::Event;
use iolite_io::{Canceled, ErrorChain, Io};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

const CASES: &[Case] = whole![
    a_runtime_that_its_own_task_drops_ends_without_being_waited_for,
    a_runtime_that_its_own_thread_drops_ends_without_being_waited_for,
    a_runtime_that_its_own_closure_drops_ends_without_being_waited_for,
    a_runtime_in_the_result_of_its_own_task_is_no_deadlock,
    the_destructor_of_a_report_may_wait_and_panic,
    a_prepared_runtime_does_not_run_on_a_fiber,
    a_report_that_panics_or_blocks_harms_nobody,
    panics_that_nobody_sees_and_whose_destructors_panic_leave_the_executor_alone,
    a_thread_whose_name_has_a_nul_is_started,
    a_thread_that_is_started_while_the_runtime_closes_is_torn_down,
    stacks_that_nobody_can_have_are_an_error_of_prepare,
    runtimes_that_cannot_be_made_leave_no_descriptor_behind,
    no_descriptor_for_a_ring_is_an_error_that_says_so,
    a_task_without_memory_for_a_stack_waits_quietly_for_one,
    a_destructor_at_the_end_of_a_thread_can_wait,
];

fn main() -> ExitCode {
    support::run(&[CASES])
}

fn executors(executors: usize) -> Options {
    Options { executors, ..Options::default() }
}

/// Returns options that store what is reported.
fn reporting(options: Options) -> (Options, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let theirs = told.clone();
    let report = Arc::new(move |text: &str| theirs.lock().unwrap().push(text.to_owned()));
    (Options { report: Some(report), ..options }, told)
}

/// Runs `body` in a process of its own: it runs the test named `name` again with a variable set.
fn in_a_process(name: &str, body: impl FnOnce()) {
    const CHILD: &str = "IOLITE_TEST_HOSTILE";
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        return body();
    }
    let child = again().env(CHILD, name).output().unwrap();
    let told = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{}\n{told}", child.status);
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

fn a_runtime_that_its_own_task_drops_ends_without_being_waited_for() {
    for count in [1, 2] {
        let (options, told) = reporting(executors(count));
        let evented = Evented::new(options).unwrap();
        let handle = evented.handle();
        let owner = Arc::new(Mutex::new(Some(evented)));
        let task = handle.spawn_concurrent(move |io| {
            drop(owner.lock().unwrap().take());
            io.sleep(Duration::MAX).is_err()
        });
        assert!(task.unwrap().join(&*handle), "the shutdown has begun");
        assert!(told.lock().unwrap()[0].contains("dropped by one of its own tasks"));
    }
}

fn a_runtime_that_its_own_thread_drops_ends_without_being_waited_for() {
    let evented = Evented::new(executors(1)).unwrap();
    let handle = evented.handle();
    let owner = Arc::new(Mutex::new(Some(evented)));
    let task = handle.spawn_thread("owner", move |io| {
        drop(owner.lock().unwrap().take());
        io.sleep(Duration::MAX).is_err()
    });
    assert!(task.unwrap().join(&*handle), "the shutdown has begun");
}

fn a_runtime_that_its_own_closure_drops_ends_without_being_waited_for() {
    let (options, told) = reporting(executors(1));
    let evented = Evented::new(options).unwrap();
    let handle = evented.handle();
    let task = handle.spawn_concurrent(move |io| {
        io.offload(|| drop(evented)).unwrap();
        io.sleep(Duration::MAX).is_err()
    });
    assert!(task.unwrap().join(&*handle), "the shutdown has begun");
    assert!(told.lock().unwrap()[0].contains("dropped by one of its own tasks"));
}

fn a_runtime_in_the_result_of_its_own_task_is_no_deadlock() {
    let evented = Evented::new(executors(2)).unwrap();
    let handle = evented.handle();
    let go = Arc::new(Event::new());
    let theirs = go.clone();
    let (sender, receiver) = mpsc::channel();
    let owner = Arc::new(evented);
    let result = (owner, sender);
    let task = handle.spawn_concurrent(move |io| {
        theirs.wait_uncancelable(io);
        result
    });
    task.unwrap().detach();
    go.set();
    // The channel is disconnected when the result, and with it the runtime, has been dropped on a fiber.
    let _: Result<(), _> = receiver.recv();
}

/// The last owner of a runtime drops values of the program. Here the last owner is an executor, because nobody waits
/// for it.
fn the_destructor_of_a_report_may_wait_and_panic() {
    struct Owned(mpsc::Sender<()>);
    impl Drop for Owned {
        fn drop(&mut self) {
            let asleep = Event::new();
            let parks = Evented::new(executors(1)).unwrap();
            parks.io().timeout(Duration::from_millis(1), |io| asleep.wait(io)).unwrap_err();
            self.0.send(()).unwrap();
            resume_unwind(Box::new("the destructor of a report"));
        }
    }
    let (sender, dropped) = mpsc::channel();
    let owned = Owned(sender);
    let report = Arc::new(move |_: &str| _ = &owned);
    let evented = Evented::new(Options { report: Some(report), ..executors(1) }).unwrap();
    let alone = Arc::new(Event::new());
    let theirs = alone.clone();
    let handle = evented.handle();
    let task = handle.spawn_concurrent(move |io| {
        theirs.wait_uncancelable(io);
        drop(evented);
    });
    task.unwrap().detach();
    // The code that drops the last handle is the last owner. That must not be this thread.
    drop(handle);
    alone.set();
    dropped.recv().unwrap();
}

fn a_prepared_runtime_does_not_run_on_a_fiber() {
    let inner = Evented::prepare(executors(1)).unwrap();
    let outer = Evented::prepare(executors(1)).unwrap();
    let refused = outer.run(|io| {
        let refused = catch_unwind(AssertUnwindSafe(|| inner.run(|_| ()))).unwrap_err();
        io.sleep(Duration::from_millis(1)).unwrap();
        refused
    });
    assert!(message(&*refused).contains("on a fiber"), "{}", message(&*refused));
}

fn a_report_that_panics_or_blocks_harms_nobody() {
    static HANDLE: Mutex<Option<Arc<dyn Io>>> = Mutex::new(None);
    let stuck = Arc::new(Event::new());
    let theirs = stuck.clone();
    let report = Arc::new(move |_: &str| {
        theirs.set();
        let handle = HANDLE.lock().unwrap().clone().unwrap();
        let _ = handle.sleep(Duration::MAX);
        panic!("told by the report");
    });
    let evented = Evented::new(Options { report: Some(report), grace: Duration::ZERO, ..executors(1) }).unwrap();
    *HANDLE.lock().unwrap() = Some(evented.handle());
    evented.io().spawn_concurrent(move |io| stuck.wait_uncancelable(io)).unwrap().detach();
    evented.shutdown();
}

/// A panic payload whose destructor panics with the next one.
struct Chain(u32);

impl Drop for Chain {
    fn drop(&mut self) {
        if self.0 > 0 {
            resume_unwind(Box::new(Chain(self.0 - 1)));
        }
    }
}

fn panics_that_nobody_sees_and_whose_destructors_panic_leave_the_executor_alone() {
    Evented::prepare(executors(1)).unwrap().run(|io| {
        for depth in 0..4 {
            io.spawn_concurrent(move |_| resume_unwind(Box::new(Chain(depth))))
                .map(|task: iolite_io::Task<()>| task.detach())
                .unwrap();
            io.spawn_concurrent(move |_| Chain(depth)).unwrap().detach();
        }
        assert_eq!(io.spawn_concurrent(|_| 7).unwrap().join(io), 7);
    });
}

fn a_thread_whose_name_has_a_nul_is_started() {
    let evented = Evented::new(executors(1)).unwrap();
    let task = evented.io().spawn_thread("with\0nul", |_| std::thread::current().name().map(str::to_owned));
    assert_eq!(task.unwrap().join(evented.io()).as_deref(), Some("withnul"));
}

fn a_thread_that_is_started_while_the_runtime_closes_is_torn_down() {
    for _ in 0..300 {
        let evented = Evented::new(executors(1)).unwrap();
        let handle = evented.handle();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok(task) = handle.spawn_thread("late", |io| io.sleep(Duration::MAX)) {
                    task.detach();
                    std::thread::yield_now();
                }
            });
            evented.shutdown();
        });
    }
}

fn stacks_that_nobody_can_have_are_an_error_of_prepare() {
    for bytes in [0, (32 << 10) - 1, (1 << 30) + 1, usize::MAX] {
        for (name, options) in [
            ("main_stack_size", Options { main_stack_size: bytes, ..executors(2) }),
            ("stack_size", Options { stack_size: bytes, ..executors(2) }),
        ] {
            let error = Evented::prepare(options).unwrap_err().to_string();
            assert_eq!(error, format!("{name} = {bytes}: the stack of a fiber has 32768 to 1073741824 bytes"));
        }
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn runtimes_that_cannot_be_made_leave_no_descriptor_behind() {
    in_a_process("runtimes_that_cannot_be_made_leave_no_descriptor_behind", || {
        let before = descriptors();
        // Its stacks are used again.
        Evented::prepare(executors(3)).unwrap().run(|_| ());
        assert_eq!(descriptors(), before, "of one that has ended");
        limit(Resource::As, address_space() + (64 << 20));
        let fail = || {
            let prepared = Evented::prepare(Options { main_stack_size: 1 << 30, ..executors(3) });
            assert_eq!(prepared.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        };
        (0..20).for_each(|_| fail());
        assert_eq!(descriptors(), before);
    });
}

fn no_descriptor_for_a_ring_is_an_error_that_says_so() {
    in_a_process("no_descriptor_for_a_ring_is_an_error_that_says_so", || {
        let mut made = 0;
        for free in 0..=6 {
            // The count itself holds one descriptor.
            limit(Resource::Nofile, descriptors() as u64 - 1 + free);
            match Evented::new(executors(3)) {
                Ok(evented) => {
                    assert_eq!(evented.io().spawn_concurrent(|_| 7).unwrap().join(evented.io()), 7);
                    made += 1;
                }
                Err(error) => {
                    let told = ErrorChain::new(&error).to_string();
                    assert!(told.contains("open files"), "{free}: {told}");
                }
            }
            limit(Resource::Nofile, 256);
        }
        assert!((1..=6).contains(&made), "none without a descriptor, one with six free: {made} of 7");
    });
}

/// Sets the soft limit of a resource of this process.
fn limit(resource: Resource, current: u64) {
    setrlimit(resource, Rlimit { current: Some(current), ..getrlimit(resource) }).unwrap();
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
}

fn a_task_without_memory_for_a_stack_waits_quietly_for_one() {
    in_a_process("a_task_without_memory_for_a_stack_waits_quietly_for_one", || {
        let (options, told) = reporting(Options { stack_size: 16 << 20, ..executors(2) });
        Evented::prepare(options).unwrap().run(|io| {
            limit(Resource::As, address_space() + (8 << 20));
            let (go, ended) = (Event::new(), AtomicUsize::new(0));
            io.group(|group| {
                for _ in 0..12 {
                    group.spawn_concurrent(|io| {
                        go.wait_uncancelable(io);
                        ended.fetch_add(1, Ordering::SeqCst);
                    })?;
                }
                io.sleep(Duration::from_millis(20))?;
                let before = cpu_time();
                io.sleep(Duration::from_millis(500))?;
                let used = cpu_time() - before;
                assert!(used < Duration::from_millis(100), "waiting for memory used {used:?} of 500 ms");
                go.set();
                io::Result::Ok(())
            })
            .unwrap();
            assert_eq!(ended.load(Ordering::SeqCst), 12);
        });
        assert!(told.lock().unwrap()[0].contains("no memory for the stack"));
    });
}

thread_local! {
    static LAST: LastWords = const { LastWords(std::cell::RefCell::new(None)) };
}

/// Calls the runtime when its thread ends.
struct LastWords(std::cell::RefCell<Option<(Arc<dyn Io>, mpsc::Sender<bool>)>>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let Some((io, sender)) = self.0.take() else { return };
        // All of these calls wait on the last context of this thread.
        let slept = io.timeout(Duration::from_millis(1), |io| io.sleep(Duration::MAX)).is_err();
        let event = Arc::new(Event::new());
        let theirs = event.clone();
        let task = io.spawn_concurrent(move |io| {
            io.sleep(Duration::from_millis(1)).unwrap();
            theirs.set();
            7
        });
        let told: Result<(), Canceled> = event.wait(&*io);
        let joined = task.unwrap().join(&*io) == 7;
        let _ = sender.send(slept && told.is_ok() && joined);
    }
}

fn a_destructor_at_the_end_of_a_thread_can_wait() {
    let evented = Evented::new(executors(1)).unwrap();
    let (sender, receiver) = mpsc::channel();
    let handle = evented.handle();
    std::thread::spawn(move || {
        // This comes before the library's own thread-local, so that it is destroyed after that.
        LAST.with(|last| last.0.replace(Some((handle.clone(), sender))));
        handle.sleep(Duration::from_millis(1)).unwrap();
    });
    assert!(receiver.recv().unwrap());
}
