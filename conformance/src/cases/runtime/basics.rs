//! The clock, randomness and the name of a backend.

use std::time::Duration;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::note;

pub(crate) const CASES: &[Case] = cases![
    the_clock_goes_forward_and_is_the_same_for_all,
    random_bytes_vary_and_fill_any_buffer,
    a_backend_says_its_name_and_what_it_uses,
];

fn the_clock_goes_forward_and_is_the_same_for_all(on: &On) {
    on.run(|io| {
        let mut last = io.now();
        for _ in 0..1_000 {
            let now = io.now();
            assert!(now >= last);
            last = now;
        }
        let theirs = io.spawn_concurrent(|io| io.now()).expect("concurrent").join(io);
        assert!(theirs >= last && theirs <= io.now(), "an instant means the same in every task");
        io.sleep(Duration::from_millis(2)).expect("not canceled");
        assert!(io.now() - last >= Duration::from_millis(2));
    });
}

fn random_bytes_vary_and_fill_any_buffer(on: &On) {
    on.run(|io| {
        io.random(&mut []).expect("nothing is wanted");
        let (mut first, mut second) = ([0; 32], [0; 32]);
        io.random(&mut first).expect("random");
        io.random(&mut second).expect("random");
        assert_ne!(first, second);
        let mut long = vec![0; 100_000];
        io.random(&mut long).expect("random");
        assert!(long.chunks(32).all(|chunk| chunk.iter().any(|byte| *byte != 0)), "to its end");
    });
}

fn a_backend_says_its_name_and_what_it_uses(on: &On) {
    on.run(|io| {
        let backend = io.backend();
        assert!(!backend.name.is_empty() && on.name().contains(backend.name), "{}: {backend}", on.name());
        assert_eq!(backend.to_string(), format!("{}({})", backend.name, backend.detail));
        assert!(!backend.detail.is_empty());
        assert_eq!(io.handle().expect("a backend has a handle").backend(), backend);
        note(&backend);
    });
}
