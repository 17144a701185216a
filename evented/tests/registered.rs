//! Files and pooled buffers, as far as only this backend can show them: the pools that are registered with the kernel,
//! and for how long.

mod support;

use iolite_conformance::{Case, whole};
use std::convert::Infallible;
use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use iolite_evented::{Evented, Options};
use iolite_io::Io;
use iolite_io::fs::{BufferPool, File};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

const CASES: &[Case] = whole![
    a_pool_is_registered_when_a_fiber_reads_and_until_it_is_gone,
    a_plain_thread_reads_without_registering,
    any_number_of_pools_reads_what_is_there,
    a_pool_too_large_for_the_kernel_reads_plainly,
    a_pool_beyond_the_limit_of_locked_memory_reads_plainly,
    a_runtime_starts_while_the_kernel_frees_the_one_before,
    a_fiber_that_waits_for_the_memory_of_a_ring_lets_others_run,
];

fn main() -> ExitCode {
    // The cases look at all rings of the process.
    support::run_one_by_one(&[CASES])
}

/// Runs `body` on a fiber of a runtime with one executor, and then ends the runtime.
fn on_a_fiber<T: Send>(body: impl FnOnce(&dyn Io) -> T + Send) -> T {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let io = evented.io();
    let Ok(value) = io.group(|group| Ok::<T, Infallible>(group.spawn_concurrent(body).unwrap().join(io)));
    evented.shutdown();
    value
}

/// Makes a file with this number of pages, each filled with its number.
fn pages(count: u8) -> File {
    let file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..count).flat_map(|number| [number; 4096]).collect();
    std::os::unix::fs::FileExt::write_all_at(&file, &content, 0).unwrap();
    file.into()
}

/// Reads each page through `pool` and checks it.
fn read_all(io: &dyn Io, file: &File, count: u8, pool: &BufferPool) {
    let mut buffer = pool.take(io).unwrap();
    for number in 0..count {
        assert_eq!(file.read_pooled_at(io, &mut buffer, u64::from(number) * 4096).unwrap(), pool.bytes());
        assert!(buffer.iter().all(|byte| *byte == number), "page {number}");
    }
}

/// Returns the sizes of the memory that is registered with the rings of this process, as the kernel reports them.
fn registered() -> Vec<usize> {
    let rings =
        fs::read_dir("/proc/self/fdinfo").unwrap().filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let rings: Vec<String> = rings.filter(|told| told.contains("SqMask")).collect();
    assert!(!rings.is_empty(), "there is no ring");
    let buffers = rings.iter().flat_map(|told| told.lines().skip_while(|line| !line.starts_with("UserBufs")).skip(1));
    // "    0: 0x7f0000000000/4096", up to the next heading.
    buffers.filter_map(|line| line.split_once(": 0x")?.1.split_once('/')?.1.trim().parse().ok()).collect()
}

/// Lets the executor become idle.
fn idle(io: &dyn Io) {
    io.sleep(std::time::Duration::from_millis(1)).unwrap();
}

fn a_pool_is_registered_when_a_fiber_reads_and_until_it_is_gone() {
    on_a_fiber(|io| {
        let (file, first, second) = (pages(3), BufferPool::new(2, 4096), BufferPool::new(4, 1024));
        file.read_exact_at(io, first.take(io).unwrap().storage_mut(), 0).unwrap();
        assert_eq!(registered(), [], "a plain read registers nothing");
        read_all(io, &file, 3, &first);
        read_all(io, &file, 3, &first);
        assert_eq!(registered(), [2 * 4096]);
        read_all(io, &file, 3, &second);
        assert_eq!(registered(), [2 * 4096, 4 * 1024]);
        let kept = first.take(io).unwrap();
        drop(first);
        idle(io);
        assert_eq!(registered(), [2 * 4096, 4 * 1024], "a buffer of it is left");
        drop(kept);
        idle(io);
        assert_eq!(registered(), [4 * 1024]);
        let third = BufferPool::new(1, 512);
        read_all(io, &file, 3, &third);
        assert_eq!(registered(), [512, 4 * 1024], "in the slot that became free");
    });
}

fn a_plain_thread_reads_without_registering() {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let (file, pool) = (pages(3), BufferPool::new(2, 4096));
    read_all(evented.io(), &file, 3, &pool);
    assert_eq!(registered(), []);
    evented.shutdown();
}

/// Uses more pools at once than there are slots, and then other pools, which may lie where the first ones did.
fn any_number_of_pools_reads_what_is_there() {
    on_a_fiber(|io| {
        let file = pages(4);
        let pools: Vec<_> = (0..130).map(|_| BufferPool::new(1, 4096)).collect();
        pools.iter().for_each(|pool| read_all(io, &file, 4, pool));
        assert_eq!(registered().len(), 100);
        drop(pools);
        for round in 0..200 {
            let pool = BufferPool::new(1 + round % 7, 4096);
            read_all(io, &file, 4, &pool);
        }
        idle(io);
        assert_eq!(registered(), []);
    });
}

fn a_pool_too_large_for_the_kernel_reads_plainly() {
    on_a_fiber(|io| {
        let (file, pool) = (pages(3), BufferPool::new(1025, 1 << 20));
        let mut buffer = pool.take(io).unwrap();
        assert_eq!(file.read_pooled_at(io, &mut buffer, 4096).unwrap(), 2 * 4096);
        assert_eq!(buffer[4095..4097], [1, 2]);
        assert_eq!(registered(), []);
    });
}

/// Limits the locked memory of this process, also if it has the right to lock more. New threads inherit that.
fn limit_locked_memory(bytes: u64) {
    let limit = Rlimit { current: Some(bytes), ..getrlimit(Resource::Memlock) };
    setrlimit(Resource::Memlock, limit).unwrap();
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets).unwrap();
}

/// Without the right to lock memory beyond the limit, there is no error, and the reads are plain.
fn a_pool_beyond_the_limit_of_locked_memory_reads_plainly() {
    limit_locked_memory(4 << 20);
    on_a_fiber(|io| {
        let file = pages(3);
        let (large, small) = (BufferPool::new(2048, 4096), BufferPool::new(8, 4096));
        read_all(io, &file, 3, &large);
        assert_eq!(registered(), []);
        read_all(io, &file, 3, &small);
        assert_eq!(registered(), [8 * 4096]);
    });
}

/// The kernel frees a ring in the background, and there is room for few.
fn a_runtime_starts_while_the_kernel_frees_the_one_before() {
    limit_locked_memory(128 << 10);
    for _ in 0..300 {
        on_a_fiber(|io| io.yield_now());
    }
}

fn a_fiber_that_waits_for_the_memory_of_a_ring_lets_others_run() {
    limit_locked_memory(1 << 20);
    on_a_fiber(|io| {
        // A ring was closed just now, and there is no room for another one.
        iolite_evented::probe().unwrap();
        limit_locked_memory(4096);
        let neighbour = AtomicBool::new(false);
        let Ok(has_run) = io.group(|group| {
            group.spawn_concurrent(|_| neighbour.store(true, Ordering::Relaxed)).unwrap();
            assert!(iolite_evented::probe().is_err());
            Ok::<_, Infallible>(neighbour.load(Ordering::Relaxed))
        });
        assert!(has_run, "the executor was blocked");
    });
}
