//! Operations that are under way together.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::fs::{self, File};
use iolite_io::net::option;
use iolite_io::testing::{Faults, Faulty};
use iolite_io::{
    Canceled, Io,
    completion::{Batch, BatchCompletion, Buffers},
    error::ConcurrencyUnavailable,
    operation::{Interest, Operation, Output},
};
use rustix::io::Errno;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Random, concurrently, note, panic_of, rounds, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    each_operation_completes_once_and_gives_its_buffer_back(0),
    each_operation_completes_once_and_gives_its_buffer_back(2),
    each_operation_completes_once_and_gives_its_buffer_back(100),
    a_few_buffers_copy_a_long_file(0),
    a_few_buffers_copy_a_long_file(2),
    a_few_buffers_copy_a_long_file(100),
    what_is_written_comes_back,
    a_canceled_send_gives_its_buffer_back(0),
    a_canceled_send_gives_its_buffer_back(1),
    a_canceled_send_gives_its_buffer_back(100),
    only_bytes_of_the_buffer_can_be_written,
    more_than_there_are_units,
    errors_are_the_operations_own,
    a_timeout_leaves_the_operations_under_way,
    what_runs_on_top_is_canceled_with_its_caller,
    cancel_accounts_for_everything,
    a_byte_is_received_or_stays,
    the_scope_ends_what_is_under_way,
    it_is_empty_when_all_is_taken_and_not_before(false),
    it_is_empty_when_all_is_taken_and_not_before(true),
];

const SHORT: Duration = Duration::from_millis(5);

/// Runs a batch whose body does not fail.
fn batch<'env, T>(io: &'env (dyn Io + 'env), body: impl for<'scope> FnOnce(&'scope Batch<'scope, 'env>) -> T) -> T {
    io.batch(|batch| Ok::<T, Canceled>(body(batch))).expect("the body does not fail")
}

fn read<'a>(file: &'a File, buffer: &'a mut [u8], offset: u64) -> Operation<'a> {
    Operation::Read { file: file.as_ref(), buffer, memory: None, offset: Some(offset) }
}

/// A file with the numbers 0 to 255, each in a page of its own.
fn pages(io: &dyn Io) -> (tempfile::TempDir, File) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("pages");
    let bytes: Vec<u8> = (0..=255).flat_map(|number| [number; 4096]).collect();
    std::fs::write(&path, bytes).expect("room for a file");
    (folder, File::open(io, &path).expect("open"))
}

fn each_operation_completes_once_and_gives_its_buffer_back(on: &On, concurrent_limit: usize) {
    on.concurrent_limit(concurrent_limit).on_thread(|io| {
        let (_folder, file) = pages(io);
        let mut buffers = [[0; 4096]; 7];
        batch(io, |batch| {
            let mut next = 0;
            let mut read_next = |index, buffer| {
                if next < 256 {
                    batch.add(index, read(&file, buffer, next * 4096));
                    next += 1;
                }
            };
            buffers.iter_mut().enumerate().for_each(|(index, buffer)| read_next(index, buffer));
            let mut seen = [0; 256];
            while !batch.is_empty() {
                batch.wait(io).expect("nobody stops it");
                while let Some(completion) = batch.next() {
                    let Buffers::Buffer(page) = completion.lent else { panic!("{completion:?}") };
                    assert!(matches!(completion.result, Ok(Output::Count(4096))));
                    assert!(page.iter().all(|byte| *byte == page[0]), "the page of another");
                    assert!(completion.index < 7);
                    seen[usize::from(page[0])] += 1;
                    read_next(completion.index, page);
                }
            }
            assert_eq!(seen, [1; 256]);
        });
    });
}

/// The state of one of three buffers: the bytes of the file that it still has to copy, and the bytes of the buffer to
/// be written.
type Turn = (Range<u64>, Range<usize>);

/// Reads and writes run concurrently and are sometimes short, until every byte has been written once.
fn a_few_buffers_copy_a_long_file(on: &On, concurrent_limit: usize) {
    let seed = Random::new("a_few_buffers_copy_a_long_file").number();
    on.concurrent_limit(concurrent_limit).on_thread(|io| {
        let io = &*Faulty::new(io.handle().expect("a runtime's"), seed, Faults::new().short_counts(0.3));
        let (folder, from) = pages(io);
        let to = fs::temp_file(io, folder.path()).expect("made");
        let mut buffers = [[0; 5_000]; 3];
        let mut written = vec![0_u8; 256 * 4096];
        batch(io, |batch| {
            let mut turns: [Turn; 3] = [(0..0, 0..0), (0..0, 0..0), (0..0, 0..0)];
            let mut parts = (0..256).map(|page| page * 4096..(page + 1) * 4096);
            let mut go_on = |turns: &mut [Turn; 3], index: usize, buffer| {
                if turns[index].0.is_empty() {
                    let Some(part) = parts.next() else { return };
                    turns[index] = (part, 0..0);
                }
                let (part, held) = &turns[index];
                if held.is_empty() {
                    batch.add(index, read(&from, buffer, part.start));
                } else {
                    batch.add_write(index, to.as_ref(), buffer, held.clone(), Some(part.start));
                }
            };
            buffers.iter_mut().enumerate().for_each(|(index, buffer)| go_on(&mut turns, index, buffer));
            while !batch.is_empty() {
                batch.wait(io).expect("nobody stops it");
                while let Some(completion) = batch.next() {
                    let (Ok(Output::Count(count @ 1..)), Buffers::Buffer(buffer)) =
                        (completion.result, completion.lent)
                    else {
                        panic!("neither read nor written")
                    };
                    assert_eq!(buffer.len(), 5_000, "all of the buffer");
                    let (part, held) = &mut turns[completion.index];
                    if Range::is_empty(held) {
                        *held = 0..count.min((part.end - part.start) as usize);
                    } else {
                        written[part.start as usize..][..count].iter_mut().for_each(|times| *times += 1);
                        held.start += count;
                        part.start += count as u64;
                    }
                    go_on(&mut turns, completion.index, buffer);
                }
            }
        });
        assert!(written.iter().all(|times| *times == 1), "bytes that were not written once");
        let content = |file: &File| {
            let mut bytes = vec![0; 256 * 4096];
            file.read_exact_at(io, &mut bytes, 0).expect("all of it");
            bytes
        };
        assert!(content(&from) == content(&to), "the same bytes");
        assert_eq!(to.len(io).expect("told"), 256 * 4096);
    });
}

/// Writes to a file whose position moves, to a socket, and one that fails.
fn what_is_written_comes_back(on: &On) {
    on.run(|io| {
        let (folder, refuses) = pages(io);
        let file = fs::temp_file(io, folder.path()).expect("made");
        let (near, far) = tcp_pair(io);
        let mut buffer = *b"0123456789";
        batch(io, |batch| {
            let next = |expected: Result<usize, Errno>| {
                batch.wait(io).expect("nobody stops it");
                let BatchCompletion { result, lent: Buffers::Buffer(buffer), .. } = batch.next().expect("one") else {
                    panic!("a buffer")
                };
                match (result, expected) {
                    (Ok(Output::Count(count)), Ok(expected)) => assert_eq!(count, expected),
                    (Err(error), Err(expected)) => assert_eq!(error.raw_os_error(), Some(expected.raw_os_error())),
                    other => panic!("{other:?}"),
                }
                assert_eq!(buffer, b"0123456789");
                buffer
            };
            batch.add_write(0, file.as_ref(), &mut buffer, 0..4, None);
            batch.add_write(0, file.as_ref(), next(Ok(4)), 7..10, None);
            batch.add_write(0, refuses.as_ref(), next(Ok(3)), 0..10, None);
            batch.add_send(0, near.as_ref(), next(Err(Errno::BADF)), 2..6);
            batch.add_send(0, near.as_ref(), next(Ok(4)), 6..6);
            next(Ok(0));
        });
        let (mut written, mut sent) = ([0; 7], [0; 4]);
        file.read_exact_at(io, &mut written, 0).expect("read");
        far.read_exact(io, &mut sent).expect("received");
        assert_eq!((&written, &sent), (b"0123789", b"2345"));
    });
}

/// More is sent than there is room for: the bytes that the completions count arrive in order, and no others.
fn a_canceled_send_gives_its_buffer_back(on: &On, concurrent_limit: usize) {
    on.concurrent_limit(concurrent_limit).on_thread(|io| {
        let (near, far) = tcp_pair(io);
        near.set_option(io, option::SEND_BUFFER_SIZE, 16 << 10).expect("set");
        let mut buffer: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
        let expected = buffer.clone();
        let mut sent = 0;
        batch(io, |batch| {
            batch.add_send(7, near.as_ref(), &mut buffer, 0..100_000);
            loop {
                // If nothing is under way, the operation ends with this wait.
                _ = io.timeout(SHORT, |io| batch.wait(io));
                let canceled = batch.cancel(io);
                let completions: Vec<_> = batch.next().into_iter().chain(canceled).collect();
                let [BatchCompletion { index: 7, result, lent: Buffers::Buffer(buffer) }] =
                    <[_; 1]>::try_from(completions).expect("one")
                else {
                    panic!("a buffer")
                };
                assert_eq!(buffer, expected);
                match result {
                    Ok(Output::Count(count)) => sent += count,
                    Ok(other) => panic!("{other:?}"),
                    // Nobody reads, so there is no room.
                    Err(error) if Canceled::is_in(&error) => break,
                    Err(error) => panic!("{error}"),
                }
                batch.add_send(7, near.as_ref(), buffer, sent % 100_000..100_000);
            }
        });
        drop(near);
        let mut received = Vec::new();
        far.read_to_end(io, &mut received).expect("received");
        assert!(sent > 0, "there was room at first");
        assert_eq!(received.len(), sent);
        assert!(received.iter().enumerate().all(|(at, byte)| *byte == expected[at % 100_000]), "in order");
    });
}

fn only_bytes_of_the_buffer_can_be_written(on: &On) {
    on.run(|io| {
        let (near, _far) = tcp_pair(io);
        let (mut first, mut second) = ([0; 4], [0; 4]);
        batch(io, |batch| {
            let past_the_end = panic_of(|| batch.add_send(0, near.as_ref(), &mut first, 2..5));
            assert_eq!(past_the_end, "bytes 2..5 of a buffer of 4");
            let backwards = Range { start: 3, end: 2 };
            assert_eq!(
                panic_of(|| batch.add_write(0, near.as_ref(), &mut second, backwards, None)),
                "bytes 3..2 of a buffer of 4"
            );
            assert!(batch.is_empty());
        });
    });
}

fn more_than_there_are_units(on: &On) {
    let on = &on.concurrent_limit(3);
    on.on_thread(|io| {
        let (_folder, file) = pages(io);
        let mut buffers = [[0; 16]; 100];
        batch(io, |batch| {
            for (index, buffer) in buffers.iter_mut().enumerate() {
                batch.add(index, read(&file, buffer, index as u64 * 4096));
            }
            let refused = batch.wait_concurrent(io).expect_err("only three at once");
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
            assert!(refused.get_ref().is_some_and(|error| error.is::<ConcurrencyUnavailable>()), "{refused}");
            let mut count = 0;
            while !batch.is_empty() {
                batch.wait(io).expect("nobody stops it");
                while let Some(completion) = batch.next() {
                    completion.result.expect("read");
                    count += 1;
                }
            }
            assert_eq!(count, 100);
        });
        assert!(buffers.iter().enumerate().all(|(index, buffer)| buffer[0] as usize == index));
    });
}

fn errors_are_the_operations_own(on: &On) {
    on.run(|io| {
        let (_folder, file) = pages(io);
        batch(io, |batch| {
            batch.add(1, Operation::Write { file: file.as_ref(), buffer: b"no", memory: None, offset: Some(0) });
            batch.add(2, Operation::Nop);
            let mut completions = Vec::new();
            while !batch.is_empty() {
                batch.wait_concurrent(io).expect("two units");
                completions.extend(std::iter::from_fn(|| batch.next()));
            }
            completions.sort_by_key(|completion| completion.index);
            let failed = completions[0].result.as_ref().expect_err("it is open for reading");
            assert_eq!(failed.raw_os_error(), Some(Errno::BADF.raw_os_error()));
            assert!(matches!(completions[1].result, Ok(Output::Done)));
        });
    });
}

fn a_timeout_leaves_the_operations_under_way(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let mut buffer = [0; 8];
        batch(io, |batch| {
            batch.add(3, Operation::Receive { socket: near.as_ref(), buffer: &mut buffer, peek: false });
            for _ in 0..3 {
                let timed_out = io.timeout(SHORT, |io| batch.wait_concurrent(io)).expect_err("nothing comes");
                assert_eq!(timed_out.kind(), io::ErrorKind::TimedOut);
                assert!(batch.next().is_none());
            }
            scope(io, |group| {
                let waiter = concurrently(group, |io| batch.wait_concurrent(io));
                let canceled = waiter.cancel(io).expect_err("nothing comes");
                assert!(Canceled::is_in(&canceled), "{canceled}");
            });
            far.write_all(io, b"it comes").expect("write");
            batch.wait_concurrent(io).expect("it is still under way");
            let completion = batch.next().expect("it has completed");
            assert_eq!(completion.index, 3);
            assert!(matches!(completion.lent, Buffers::Buffer(bytes) if bytes == b"it comes"));
        });
    });
}

/// Without units, the operation runs on top of the caller, and ends with the caller's request.
fn what_runs_on_top_is_canceled_with_its_caller(on: &On) {
    let on = &on.concurrent_limit(1);
    on.on_thread(|io| {
        let (near, _far) = tcp_pair(io);
        scope(io, |group| {
            let task = concurrently(group, |io| {
                let mut buffer = [0; 8];
                batch(io, |batch| {
                    batch.add(4, Operation::Receive { socket: near.as_ref(), buffer: &mut buffer, peek: false });
                    batch.wait(io).expect_canceled("nothing comes");
                    io.check_cancel().expect("delivered once");
                    // It has ended, unless it had not begun.
                    let completions: Vec<_> = batch.next().into_iter().chain(batch.cancel(io)).collect();
                    assert!(
                        matches!(&completions[..], [one] if one.is_canceled() && one.index == 4),
                        "{completions:?}"
                    );
                });
            });
            task.cancel(io);
        });
    });
}

fn cancel_accounts_for_everything(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        far.write_all(io, b"now").expect("write");
        let mut buffers = [[0; 3]; 4];
        batch(io, |batch| {
            let [first, second, third, fourth] = &mut buffers;
            let receive = |buffer| Operation::Receive { socket: near.as_ref(), buffer, peek: false };
            batch.add(0, receive(first));
            batch.wait_concurrent(io).expect("it is there");
            // One has succeeded and was not taken, two are under way, and one has not begun.
            batch.add(1, receive(second));
            batch.add(2, receive(third));
            batch.wait_concurrent(io).expect("the first is still there");
            batch.add(3, receive(fourth));
            let canceled = batch.cancel(io);
            let mut indexes: Vec<_> = canceled.iter().map(|completion| completion.index).collect();
            indexes.sort_unstable();
            assert_eq!(indexes, [1, 2, 3]);
            assert!(canceled.iter().all(|completion| completion.is_canceled()));
            assert_eq!(batch.next().map(|completion| completion.index), Some(0));
            assert!(batch.is_empty());
            // All of them can be used again.
            let Some(Buffers::Buffer(buffer)) = canceled.into_iter().map(|completion| completion.lent).next() else {
                panic!("a buffer")
            };
            far.write_all(io, b"new").expect("write");
            batch.add(9, receive(buffer));
            batch.wait(io).expect("it is there");
            assert!(matches!(batch.next().expect("one").lent, Buffers::Buffer(bytes) if bytes == b"new"));
        });
    });
}

/// No byte is lost when operations are canceled while they complete.
fn a_byte_is_received_or_stays(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let mut received = Vec::new();
        let total = rounds(200) as u8;
        for number in 0..total {
            let mut buffer = [0];
            batch(io, |batch| {
                batch.add(0, Operation::Receive { socket: near.as_ref(), buffer: &mut buffer, peek: false });
                scope(io, |group| {
                    let sender = concurrently(group, |io| far.write_all(io, &[number]).expect("write"));
                    let _ = io.timeout(Duration::from_micros(u64::from(number)), |io| batch.wait_concurrent(io));
                    batch.cancel(io);
                    sender.join(io);
                });
                if let Some(completion) = batch.next() {
                    assert!(matches!(completion.result, Ok(Output::Count(1))), "{completion:?}");
                    let Buffers::Buffer([byte]) = completion.lent else { panic!("a byte") };
                    received.push(*byte);
                }
            });
        }
        drop(far);
        let mut rest = Vec::new();
        let mut buffer = [0; 64];
        loop {
            match near.read(io, &mut buffer).expect("read") {
                0 => break,
                count => rest.extend_from_slice(&buffer[..count]),
            }
        }
        note(format_args!("{} received in time, {} stayed", received.len(), rest.len()));
        received.extend(rest);
        assert_eq!(received, (0..total).collect::<Vec<_>>());
    });
}

fn the_scope_ends_what_is_under_way(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let mut buffer = [0; 4];
        batch(io, |batch| {
            batch.add(0, Operation::Receive { socket: near.as_ref(), buffer: &mut buffer, peek: false });
            io.timeout(SHORT, |io| batch.wait_concurrent(io)).expect_err("nothing comes");
        });
        far.write_all(io, b"late").expect("write");
        assert_eq!(near.read(io, &mut buffer).expect("it is still there"), 4);
        assert_eq!(&buffer, b"late");
    });
}

/// For another thread that looks, an operation is visible from the time when it is added until it is taken.
fn it_is_empty_when_all_is_taken_and_not_before(on: &On, without_concurrency: bool) {
    let on = if without_concurrency { on.concurrent_limit(0) } else { on.clone() };
    on.on_thread(|io| {
        let (near, _far) = tcp_pair(io);
        // Odd while there is something in the batch; 0 at the end.
        let turn = AtomicUsize::new(2);
        batch(io, |batch| {
            thread::scope(|threads| {
                let looker = threads.spawn(|| {
                    let mut missed = 0;
                    loop {
                        let before = turn.load(Ordering::SeqCst);
                        if before == 0 {
                            return missed;
                        }
                        let is_empty = batch.is_empty();
                        missed += usize::from(is_empty && before % 2 == 1 && turn.load(Ordering::SeqCst) == before);
                    }
                });
                for _ in 0..rounds(3_000) {
                    let writable = Operation::Ready { descriptor: near.as_ref(), interest: Interest::Writable };
                    batch.add(0, writable);
                    turn.fetch_add(1, Ordering::SeqCst);
                    // It is refused at first if there is no concurrency.
                    let _ = batch.wait_concurrent(io);
                    batch.wait(io).expect("nobody stops it");
                    turn.fetch_add(1, Ordering::SeqCst);
                    batch.next().expect("completed").result.expect("it is writable");
                }
                turn.store(0, Ordering::SeqCst);
                assert_eq!(looker.join().expect("it looked"), 0, "times it was said to be empty, and was not");
            });
        });
    });
}
