//! The depth to which stacks are used, and their guards on old kernels. The test has a process of its own, because
//! stacks belong to the process.

mod support;

use iolite_conformance::tools::again;
use iolite_conformance::{Case, On, cases, whole};
use std::hint::black_box;
use std::process::Command;
use std::process::ExitCode;
use std::sync::Arc;

use iolite_evented::{Evented, Options, StackUse, stack_use};
use iolite_io::Io;

const CASES: &[Case] = cases![without_installed_guards_mprotect_makes_them_and_the_limits_follow];
const WHOLE: &[Case] = whole![the_high_water_mark_tells_how_deep_fibers_went];

fn main() -> ExitCode {
    support::run_one_by_one(&[CASES, WHOLE])
}

const CHILD: &str = "IOLITE_TEST_PROTECTED_CHILD";

fn descend(frames: usize) -> usize {
    let frame = black_box([frames as u8; 1024]);
    if frames == 0 { 0 } else { descend(frames - 1) + usize::from(black_box(&frame).len() == 1024) }
}

fn of_size(bytes: usize) -> Option<StackUse> {
    stack_use().into_iter().find(|all| all.stack_bytes == bytes)
}

fn the_high_water_mark_tells_how_deep_fibers_went() {
    let options = Options { executors: 1, stack_size: 256 << 10, main_stack_size: 4 << 20, ..Options::default() };
    Evented::prepare(options).unwrap().run(|io| {
        // 3 MiB are rounded up to 4 MiB, which is also the size of main's stack; no other code has such stacks.
        let run = |frames| io.task().stack_size(3 << 20).spawn_async(move |_| descend(frames)).unwrap().join(io);
        run(10);
        let shallow = of_size(4 << 20).unwrap();
        assert_eq!(shallow.stacks, 2, "main's and the task's");
        assert!((10 << 10..512 << 10).contains(&shallow.high_water_bytes), "{shallow:?}");
        run(1024);
        let deep = of_size(4 << 20).unwrap();
        assert!((1 << 20..4 << 20).contains(&deep.high_water_bytes), "{deep:?}");
        io.spawn_concurrent(|_| ()).unwrap().join(io);
        let plain = of_size(256 << 10).unwrap();
        assert!((1..256 << 10).contains(&plain.high_water_bytes), "{plain:?}");
        assert_eq!(of_size(1 << 30), None);
    });
    let after = of_size(4 << 20).unwrap();
    assert!(
        after.stacks == 0 && after.high_water_bytes >= 1 << 20,
        "the memory is given back, not the mark: {after:?}"
    );
}

/// The guards are those of a kernel before 6.13.
fn without_installed_guards_mprotect_makes_them_and_the_limits_follow(on: &On) {
    if std::env::var(CHILD).is_ok() {
        return overflow_on_a_protected_stack();
    }
    let traced = || {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=madvise"]);
        strace
    };
    if !traced().arg("true").status().is_ok_and(|status| status.success()) {
        return on.not_run("strace is missing or may not trace");
    }
    let again = again();
    let child = traced()
        .args(["-e", "inject=madvise:error=EINVAL"])
        .arg(again.get_program())
        .args(again.get_args())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stderr);
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let stacks: usize = maps.trim().parse::<usize>().unwrap() / 2;
    let lowered = format!(
        "this kernel guards stacks by mprotect, and vm.max_map_count allows {stacks} of them: async_limit is now {}, \
         concurrent_limit {}",
        stacks / 2,
        stacks / 2,
    );
    assert!(told.contains(&lowered), "{told}");
    assert!(told.contains("500 tasks ran"), "{told}");
    assert!(told.contains("overflowed its stack of 128 KiB"), "{told}");
    assert!(!child.status.success());
}

fn overflow_on_a_protected_stack() {
    let report = Arc::new(|line: &str| eprintln!("{line}"));
    let limit = 1 << 40;
    let options = Options {
        executors: 1,
        async_limit: limit,
        concurrent_limit: limit,
        stack_size: 128 << 10,
        report: Some(report),
        ..Options::default()
    };
    Evented::prepare(options).unwrap().run(|io: &dyn Io| {
        let tasks: Vec<_> = (0..500).map(|_| io.spawn_concurrent(|io| io.yield_now()).unwrap()).collect();
        eprintln!("{} tasks ran", tasks.into_iter().map(|task| task.join(io)).count());
        io.spawn_concurrent(|_| descend(1 << 20)).unwrap().join(io);
    });
}
