//! A process forks when its runtimes have ended: parent and child make new ones, which share nothing. The test has a
//! process of its own, because its children have only one thread.
#![allow(unsafe_code)]

mod support;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use iolite_conformance::{Case, whole};
use iolite_evented::{Evented, Options};
use iolite_io::sync::Event;

const CASES: &[Case] = whole![parent_and_children_run_beside_each_other];

fn main() -> ExitCode {
    support::run_one_by_one(&[CASES])
}

/// Wakes executors from other threads, again and again: each sleep ends with a write to the executor's event.
fn run() {
    let evented = Evented::new(Options { executors: 2, ..Options::default() }).unwrap();
    let io = evented.io();
    let events: Vec<_> = (0..200).map(|_| [Arc::new(Event::new()), Arc::new(Event::new())]).collect();
    let Ok(()) = io.group(|group| {
        let waits = group.spawn_concurrent(|io| {
            for [go, gone] in &events {
                go.wait_uncancelable(io);
                gone.set();
            }
        });
        thread::scope(|threads| {
            threads.spawn(|| {
                for [go, gone] in &events {
                    // The executor sleeps by now, or nearly.
                    thread::sleep(Duration::from_micros(100));
                    go.set();
                    gone.wait_uncancelable(io);
                }
            });
        });
        waits.unwrap().join(io);
        Ok::<_, Infallible>(())
    });
    evented.shutdown();
}

fn parent_and_children_run_beside_each_other() {
    run();
    let children: Vec<_> = (0..4)
        .map(|_| {
            // SAFETY: the other threads of this process wait, and hold neither a lock of the allocator, which the C
            // library makes usable in a child, nor a lock of std.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: it has no preconditions. A signal ends a child that hangs.
                unsafe { libc::alarm(60) };
                run();
                // SAFETY: it ends the process here.
                unsafe { libc::_exit(0) };
            }
            child
        })
        .collect();
    run();
    for child in children {
        let mut status = -1;
        // SAFETY: it is a child of this process, with a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "a child has not ended by itself");
    }
}
