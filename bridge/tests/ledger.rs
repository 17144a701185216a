//! A ledger of every job: many callers, random cancels and timeouts, panics, and a close in the middle. Each job ran
//! once, or its caller was told that it did not.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use iolite_bridge::{Bridge, CallError, Metrics, PostErrorKind};
use iolite_io::Io;
use iolite_threaded::{Options, Threaded};
use support::{Random, Threads};

const CALLERS: u64 = 8;

/// Counts of the answers that callers got.
#[derive(Debug, Default)]
struct Told {
    ran: AtomicU64,
    panicked: AtomicU64,
    posted: AtomicU64,
    canceled: AtomicU64,
    timed_out: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
}

struct Bench {
    bridge: Bridge<u64>,
    told: Told,
    /// The posted jobs that ran, and those among them that panicked.
    posts_ran: AtomicU64,
    posts_panicked: AtomicU64,
    /// Counts every closure that was made and every one that was dropped.
    closures: Arc<AtomicUsize>,
}

/// Part of every closure.
struct Token(Arc<AtomicUsize>);

impl Token {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spin(duration: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        std::hint::spin_loop();
    }
}

impl Bench {
    fn new(io: &dyn Io) -> Arc<Self> {
        let bridge = Bridge::builder("ledger")
            .workers(2)
            .queue_capacity(3)
            .run_max(5)
            .state(|| Ok::<_, String>(0))
            .before_run(|state| *state += 1)
            .start(io)
            .unwrap();
        Arc::new(Self {
            bridge,
            told: Told::default(),
            posts_ran: AtomicU64::new(0),
            posts_panicked: AtomicU64::new(0),
            closures: Arc::default(),
        })
    }

    /// Runs one job of a random kind. Returns false if the bridge is closed.
    fn step(self: &Arc<Self>, io: &dyn Io, random: &mut Random) -> bool {
        let panics = random.below(20) == 0;
        let work = Duration::from_micros(random.below(40));
        let key = random.below(3);
        let kind = random.below(6);
        if kind < 3 {
            self.call(io, kind, key, work, panics, Duration::from_micros(random.below(150)))
        } else {
            self.post(io, kind, key, work, panics)
        }
    }

    fn call(&self, io: &dyn Io, kind: u64, key: u64, work: Duration, panics: bool, limit: Duration) -> bool {
        let mut runs = 0;
        let token = Token::new(&self.closures);
        let job = |_: &mut u64| {
            let _token = token;
            runs += 1;
            spin(work);
            assert!(!panics, "wanted");
            17
        };
        let result = match kind {
            0 => self.bridge.call(io, job),
            1 => self.bridge.call_keyed(io, key, job),
            _ => io.timeout(limit, |io| self.bridge.call_keyed(io, key, job)),
        };
        let (count, expected) = match &result {
            Ok(value) => {
                assert_eq!(*value, 17);
                (&self.told.ran, 1)
            }
            Err(CallError::Panicked(message)) => {
                assert!(panics && message == "wanted", "{message}");
                (&self.told.panicked, 1)
            }
            Err(CallError::Canceled(_)) => (&self.told.canceled, 0),
            Err(CallError::TimedOut(_)) => (&self.told.timed_out, 0),
            Err(CallError::Closed) => (&self.told.refused, 0),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(runs, expected, "{result:?}");
        count.fetch_add(1, Ordering::Relaxed);
        !matches!(result, Err(CallError::Closed))
    }

    fn post(self: &Arc<Self>, io: &dyn Io, kind: u64, key: u64, work: Duration, panics: bool) -> bool {
        let token = Token::new(&self.closures);
        let bench = self.clone();
        let job = move |_: &mut u64| {
            let _token = token;
            bench.posts_ran.fetch_add(1, Ordering::Relaxed);
            spin(work);
            if panics {
                bench.posts_panicked.fetch_add(1, Ordering::Relaxed);
                drop(bench);
                panic!("wanted");
            }
        };
        let result = match kind {
            3 => self.bridge.post(io, job),
            4 => self.bridge.post_keyed(io, key, job),
            _ => self.bridge.try_post_keyed(key, job),
        };
        let kind = result.map_err(|error| error.kind);
        let count = match &kind {
            Ok(()) => &self.told.posted,
            Err(PostErrorKind::Canceled(_)) => &self.told.canceled,
            Err(PostErrorKind::Full) => &self.told.full,
            Err(PostErrorKind::Closed) => &self.told.refused,
            Err(error) => panic!("{error}"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        !matches!(kind, Err(PostErrorKind::Closed))
    }

    /// Checks after the close that the ledger balances.
    fn balance(&self) -> Metrics {
        let metrics = self.bridge.metrics();
        let [ran, panicked, posted] =
            [&self.told.ran, &self.told.panicked, &self.told.posted].map(|count| count.load(Ordering::Relaxed));
        let [posts_ran, posts_panicked] =
            [&self.posts_ran, &self.posts_panicked].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(posts_ran, posted, "every accepted post ran, once, and no other: {:?}", self.told);
        assert_eq!(metrics.ran, ran + posted - posts_panicked, "{metrics:?}");
        assert_eq!(metrics.panicked, panicked + posts_panicked, "{metrics:?}");
        assert_eq!(metrics.accepted, metrics.ran + metrics.panicked + metrics.canceled, "{metrics:?}");
        assert_eq!((metrics.refused, metrics.depth), (0, 0), "{metrics:?}");
        assert_eq!(self.closures.load(Ordering::Relaxed), 0, "every closure was dropped");
        metrics
    }
}

fn round(io: &dyn Io, seed: u64, steps: usize) -> (Arc<Bench>, Metrics) {
    let bench = Bench::new(io);
    let over = Arc::new(AtomicBool::new(false));
    let mut random = Random(seed);
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (bench, mut random) = (bench.clone(), Random(random.next()));
            io.spawn_concurrent(move |io: &dyn Io| while bench.step(io, &mut random) {}).unwrap()
        })
        .collect();
    let canceler = {
        let (over, mut random) = (over.clone(), Random(random.next()));
        io.spawn_concurrent(move |io: &dyn Io| {
            while !over.load(Ordering::Relaxed) {
                let caller = random.below(CALLERS);
                callers[usize::try_from(caller).unwrap()].request_cancel();
                io.sleep(Duration::from_micros(random.below(100))).unwrap();
            }
            callers
        })
        .unwrap()
    };
    while bench.bridge.metrics().accepted < steps as u64 {
        io.sleep(Duration::from_millis(1)).unwrap();
    }
    bench.bridge.close(io);
    over.store(true, Ordering::Relaxed);
    canceler.join(io).into_iter().for_each(|caller| caller.join(io));
    let metrics = bench.balance();
    (bench, metrics)
}

fn seed() -> u64 {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()),
    };
    println!("SEED={seed}");
    seed
}

fn quiet_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"wanted") {
            before(info);
        }
    }));
}

#[test]
fn every_job_is_accounted_for_on_threads() {
    quiet_panics();
    let (bench, metrics) = round(&*Threads::new(), seed(), 20_000);
    println!("{:?}\n{metrics:?}", bench.told);
    // Both outcomes of each race must be frequent, or the round shows little.
    for count in [&bench.told.canceled, &bench.told.timed_out, &bench.told.full] {
        assert!(count.load(Ordering::Relaxed) > 100, "{:?}", bench.told);
    }
    assert!(metrics.canceled > 100 && metrics.waits > 100, "{metrics:?}");
}

#[test]
fn every_job_is_accounted_for_on_threaded() {
    quiet_panics();
    let seed = seed();
    let threaded = Threaded::new(Options { concurrent_limit: 32, ..Options::default() }).unwrap();
    threaded.run(|io| {
        for round_number in 0..20 {
            round(io, seed + round_number, 500);
        }
    });
}

#[test]
fn no_wake_is_lost_on_the_edge_of_sleep() {
    let seed = seed();
    let threads = Threads::new();
    let io = &*threads as &dyn Io;
    let bridge = Bridge::builder("edge").workers(3).queue_capacity(2).start(io).unwrap();
    let calls = 10_000;
    std::thread::scope(|scope| {
        for caller in 0..2 {
            let bridge = &bridge;
            scope.spawn(move || {
                let mut random = Random(seed + caller);
                for _ in 0..calls {
                    // About as long as a worker searches before it sleeps.
                    spin(Duration::from_nanos(random.below(30_000)));
                    match random.below(3) {
                        0 => bridge.call(io, |()| ()).unwrap(),
                        1 => bridge.call_keyed(io, random.below(50), |()| ()).unwrap(),
                        _ => bridge.post(io, |()| ()).unwrap(),
                    }
                }
            });
        }
    });
    bridge.close(io);
    let metrics = bridge.metrics();
    println!("{metrics:?}");
    assert_eq!(metrics.ran, 2 * calls);
    // Both are frequent: jobs that found a worker awake, and jobs that woke one.
    assert!(metrics.wakes > calls / 10, "{metrics:?}");
}

/// With one caller and one worker, no other job makes up for a lost wake-up. The caller does not park, and learns of a
/// job's completion before the job's end. So the next job comes at any time, above all while the worker announces its
/// sleep.
#[test]
fn no_wake_is_lost_between_one_caller_and_one_worker() {
    let mut random = Random(seed());
    let threads = Threads::new();
    let io = &*threads as &dyn Io;
    let bridge = Bridge::builder("edge").workers(1).start(io).unwrap();
    let ran = Arc::new(AtomicU64::new(0));
    for round in 1..=20_000 {
        let longest = if random.below(4) == 0 { 10_000 } else { 1_000 };
        spin(Duration::from_nanos(random.below(longest)));
        let (count, rest) = (ran.clone(), Duration::from_nanos(random.below(1_000)));
        let job = move |(): &mut ()| {
            count.fetch_add(1, Ordering::Release);
            spin(rest);
        };
        if random.below(2) == 0 {
            bridge.try_post(job).unwrap();
        } else {
            bridge.try_post_keyed(0, job).unwrap();
        }
        while ran.load(Ordering::Acquire) < round {
            std::thread::yield_now();
        }
    }
    bridge.close(io);
    println!("{:?}", bridge.metrics());
}
