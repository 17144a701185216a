//! Clocks, and waiting for them.

use std::hint::black_box;
use std::io;
use std::time::{Duration, SystemTime};

use iolite_io::Canceled;
use iolite_io::time::Clock;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, scope};

pub(crate) const CASES: &[Case] = cases![
    every_clock_goes_in_its_steps,
    the_clocks_agree_with_what_else_tells_the_time,
    a_sleep_is_no_work,
    a_sleep_goes_by_its_clock,
    a_sleep_on_a_clock_is_canceled,
];

const ALL: [Clock; 5] = [Clock::Monotonic, Clock::Boot, Clock::Real, Clock::ProcessCpu, Clock::ThreadCpu];

fn every_clock_goes_in_its_steps(on: &On) {
    on.run(|io| {
        for clock in ALL {
            let resolution = clock.resolution();
            assert!(!resolution.is_zero() && resolution < Duration::from_secs(1), "{clock:?}: {resolution:?}");
            let before = io.time(clock);
            while io.time(clock) < before + resolution * 10 {
                black_box(());
            }
        }
        for (part, whole) in [(Clock::Monotonic, Clock::Boot), (Clock::ThreadCpu, Clock::ProcessCpu)] {
            let part = io.time(part);
            assert!(io.time(whole) >= part);
        }
    });
}

fn the_clocks_agree_with_what_else_tells_the_time(on: &On) {
    on.run(|io| {
        let before = io.now();
        let monotonic = io.time(Clock::Monotonic);
        let after = io.now();
        assert!((before.as_nanos()..=after.as_nanos()).contains(&(monotonic.as_nanos() as u64)));
        let earlier = SystemTime::now();
        let now = io.system_time();
        assert!(earlier <= now && now <= SystemTime::now());
    });
}

fn a_sleep_is_no_work(on: &On) {
    on.run(|io| {
        let (real, used) = (io.time(Clock::Real), io.time(Clock::ThreadCpu));
        io.sleep(Duration::from_millis(50)).expect("not canceled");
        assert!(io.time(Clock::Real) - real >= Duration::from_millis(49));
        assert!(io.time(Clock::ThreadCpu) - used < Duration::from_millis(40));
    });
}

fn a_sleep_goes_by_its_clock(on: &On) {
    on.run(|io| {
        for clock in [Clock::Monotonic, Clock::Boot, Clock::Real] {
            let time = io.time(clock) + Duration::from_millis(5);
            io.sleep_until_time(clock, time).expect("not canceled");
            assert!(io.time(clock) >= time, "{clock:?}");
            io.sleep_until_time(clock, time).expect("it has passed");
            io.sleep_until_time(clock, Duration::ZERO).expect("it has passed");
        }
        for clock in [Clock::ProcessCpu, Clock::ThreadCpu] {
            let error = io.sleep_until_time(clock, Duration::MAX).expect_err("nobody can");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    });
}

fn a_sleep_on_a_clock_is_canceled(on: &On) {
    on.run(|io| {
        for clock in [Clock::Monotonic, Clock::Boot, Clock::Real] {
            for time in [Duration::MAX, io.time(clock) + Duration::from_secs(3600)] {
                let result = io.timeout(Duration::from_millis(1), |io| io.sleep_until_time(clock, time));
                assert_eq!(result.expect_err("far away").kind(), io::ErrorKind::TimedOut);
            }
            let past = io.timeout(Duration::ZERO, |io| io.sleep_until_time(clock, Duration::ZERO));
            assert_eq!(past.expect_err("a point all the same").kind(), io::ErrorKind::TimedOut);
        }
        scope(io, |group| {
            let sleeper = concurrently(group, |io| io.sleep_until_time(Clock::Real, Duration::MAX));
            assert!(Canceled::is_in(&sleeper.cancel(io).expect_err("far away")));
        });
    });
}
