//! `Faulty` around each backend: with faults, every promise is kept, and nothing is lost.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::fs::{BufferPool, File, OpenOptions};
use iolite_io::net::{Message, OutgoingMessage, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use iolite_io::sync::{Mutex, RecvError, SendErrorKind, mpmc::channel};
use iolite_io::testing::{Faults, Faulty};
use iolite_io::{Canceled, Incomplete, Io, WaitError, copy, operation::Operation};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Random, concurrently, rounds, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    a_seed_repeats_what_happened,
    the_seed_can_be_told,
    short_counts_lose_no_byte,
    a_short_count_is_of_the_first_bytes,
    messages_are_never_cut,
    direct_reads_and_writes_stay_whole,
    what_fails_has_not_happened,
    operations_can_be_chosen,
    a_request_is_delivered_once,
    waits_are_canceled_too,
    protect_and_timeouts_hold,
    who_is_asked_by_somebody_ends_a_delay,
    nobody_asks_a_plain_thread,
    tasks_keep_it,
    refused_tasks_come_back_or_run_inline,
    where_everything_fails_tasks_still_end,
    nothing_is_lost_whatever_goes_wrong,
];

/// Runs the case in a task and on a plain thread, with `Faulty` around the runtime's `Io`.
fn run(on: &On, case: impl Fn(&Arc<dyn Io>) + Sync) {
    on.run(|io| case(&io.handle().expect("a runtime's")));
}

fn content(bytes: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).take(bytes).collect()
}

/// Runs a program of one task that does a little of everything. Returns what happened to it.
fn history(io: &dyn Io) -> String {
    let mut history = String::new();
    let mut tell = |what: &str, result: io::Result<usize>| match result {
        Ok(count) => write!(history, "{what} {count}; ").expect("room"),
        Err(error) => write!(history, "{what}: {error}; ").expect("room"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..20 {
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(true).create(true).open(io, folder.path().join("file")) {
            Ok(file) => file,
            Err(error) => {
                tell("create", Err(error));
                continue;
            }
        };
        tell("write", file.write(io, &[round; 100]));
        tell("read", file.read_at(io, &mut [0; 50], 0));
        match UnixStream::pair(io) {
            Ok((near, far)) => {
                let sent = near.write(io, &[round; 64]);
                let arrives = sent.is_ok();
                tell("send", sent);
                if arrives {
                    tell("receive", far.read(io, &mut [0; 64]));
                }
            }
            Err(error) => tell("pair", Err(error)),
        }
        tell("point", io.check_cancel().map(|()| 0).map_err(Into::into));
        tell("close", file.close(io).map(|()| 0));
    }
    history
}

fn a_seed_repeats_what_happened(on: &On) {
    run(on, |io| {
        let mut faults = Faults::new().errors(0.1).short_counts(0.4).cancellations(0.2);
        faults = faults.delays(0.1, Duration::from_micros(50));
        let with = |seed| {
            let faulty = Faulty::new(io.clone(), seed, faults.clone());
            let history = history(&*faulty);
            // A request of the last rounds may still be pending.
            let _ = io.check_cancel();
            (history, faulty.injected())
        };
        let (first, injected) = with(1);
        assert!(injected.errors > 0 && injected.short_counts > 0 && injected.delays > 0, "{injected:?}\n{first}");
        for _ in 0..5 {
            assert_eq!(with(1), (first.clone(), injected));
        }
        assert_ne!(with(2).0, first);
    });
}

fn the_seed_can_be_told(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 4_711, Faults::new());
        assert_eq!(faulty.seed(), 4_711);
        assert!(faulty.backend().to_string().contains("faulty: seed 4711"), "{}", faulty.backend());
        assert_eq!((faulty.backend().name, faulty.backend().executors), (io.backend().name, io.backend().executors));
    });
}

/// Code that loops over short counts gets all bytes, through every kind of call.
fn short_counts_lose_no_byte(on: &On) {
    let mut random = Random::new("short_counts_lose_no_byte");
    for _ in 0..rounds(3) {
        let seed = random.number();
        run(on, |io| {
            let faults = Faults::new().short_counts(0.7).delays(0.01, Duration::from_micros(200));
            let faulty = Faulty::new(io.clone(), seed, faults);
            let folder = tempfile::tempdir().expect("a folder");
            let expected = content(200_000);
            let path = folder.path().join("from");
            File::create(&*faulty, &path).expect("made").write_all(&*faulty, &expected).expect("written");
            let from = File::open(&*faulty, &path).expect("opened");
            let to = File::create(&*faulty, folder.path().join("to")).expect("made");
            let (near, far) = tcp_pair(&*faulty);
            scope(&*faulty as &dyn Io, |group| {
                drop(concurrently(group, |io| {
                    near.write_all(io, &expected).expect("sent");
                    copy(io, &from, &near).expect("copied");
                    near.send_file(io, &from, 0..200_000).expect("sent");
                    near.send_zero_copy(io, Arc::new(expected.clone())).expect("sent");
                    write_all_vectored(io, &near, &expected);
                    near.shutdown(io, Shutdown::Write).expect("finished");
                }));
                let mut received = vec![0; 200_000];
                far.read_exact(&*faulty, &mut received).expect("received");
                assert!(received == expected, "the same bytes");
                copy(&*faulty, &far, &to).expect("copied");
            });
            let file = File::open(&*faulty, folder.path().join("to")).expect("opened");
            let mut received = Vec::new();
            file.read_to_end(&*faulty, &mut received).expect("read");
            assert!(received == expected.repeat(4), "the same bytes, {} of 800000", received.len());
            assert!(faulty.injected().short_counts > 20, "{:?}", faulty.injected());
        });
    }
}

fn write_all_vectored(io: &dyn Io, stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (head, tail) = bytes.split_at(bytes.len().min(3));
        let (middle, tail) = tail.split_at(tail.len().min(1_000));
        let count = stream.write_vectored(io, &[IoSlice::new(head), IoSlice::new(middle), IoSlice::new(tail)]);
        bytes = &bytes[count.expect("sent")..];
    }
}

/// Of two or more bytes a short count never has all, of one byte never none. The bytes are in order, even if small
/// buffers come first.
fn a_short_count_is_of_the_first_bytes(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 5, Faults::new().short_counts(1.0));
        let (near, far) = UnixStream::pair(&*faulty).expect("a pair");
        for bytes in [&b"0123456789"[..], b"01"] {
            let count = near.write(&*faulty, bytes).expect("sent");
            assert!((1..bytes.len()).contains(&count), "{count}");
            near.write_all(&**io, &bytes[count..]).expect("sent");
            let (mut one, mut others) = ([0; 1], [0; 9]);
            let mut parts = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut one), IoSliceMut::new(&mut others)];
            assert_eq!(far.read_vectored(&*faulty, &mut parts).expect("received"), 1);
            assert_eq!(one, *b"0");
            let mut rest = vec![0; bytes.len() - 1];
            far.read_exact(&*faulty, &mut rest).expect("received");
            assert_eq!(rest, bytes[1..]);
        }
        assert_eq!(near.write(&*faulty, b"1").expect("sent"), 1);
        assert_eq!(near.write(&*faulty, b"").expect("nothing to send"), 0);
        assert_eq!(far.read(&*faulty, &mut [0; 1]).expect("received"), 1);
    });
}

/// The rest of a message after a short read would be lost, so there are no short reads of messages.
fn messages_are_never_cut(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 6, Faults::new().short_counts(1.0));
        let io: &dyn Io = &*faulty;
        let (near, far) = UnixDatagram::pair(io).expect("a pair");
        let mut buffer = [0; 100];
        for bytes in 0..50 {
            assert_eq!(near.send(io, &buffer[..bytes]).expect("sent"), bytes);
            assert_eq!(far.recv(io, &mut buffer).expect("received"), bytes);
        }
        let receiver = UdpSocket::bind(io, "127.0.0.1:0").expect("bound");
        let sender = UdpSocket::bind(io, "127.0.0.1:0").expect("bound");
        sender.connect(io, receiver.local_addr(io).expect("an address")).expect("connected");
        let texts: Vec<String> = (0..20).map(|number| format!("message {number}")).collect();
        let outgoing: Vec<OutgoingMessage<'_>> =
            texts.iter().map(|text| OutgoingMessage { bytes: text.as_bytes(), to: None }).collect();
        let mut sent = 0;
        while sent < outgoing.len() {
            sent += sender.send_many(io, &outgoing[sent..]).expect("sent");
        }
        let mut messages: Vec<Message> = (0..20).map(|_| Message::with_room(64)).collect();
        let mut received = 0;
        while received < messages.len() {
            received += receiver.recv_many(io, &mut messages[received..]).expect("received");
        }
        assert!(messages.iter().map(Message::bytes).eq(texts.iter().map(String::as_bytes)));
        assert!(faulty.injected().short_counts > 1, "fewer of them at once: {:?}", faulty.injected());
    });
}

fn direct_reads_and_writes_stay_whole(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 7, Faults::new().short_counts(1.0));
        let pool = BufferPool::new(2, 8_192);
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32);
        let file = match options.open(&**io, folder.path().join("file")) {
            Ok(file) => file,
            Err(error) => return on.not_run(format!("no O_DIRECT in the folder for temporary files: {error}")),
        };
        let mut buffer = pool.take(&**io).expect("not canceled");
        buffer.set_len(8_192);
        assert_eq!(file.write_pooled_at(&*faulty, &buffer, 0).expect("written"), 8_192);
        assert_eq!(file.read_pooled_at(&*faulty, &mut buffer, 0).expect("read"), 8_192);
        assert_eq!(faulty.injected().short_counts, 0);
    });
}

/// An error comes in place of the operation: nothing was done, taken or made, except that a descriptor to be closed is
/// closed.
fn what_fails_has_not_happened(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 8, Faults::new().errors(1.0));
        let io: &dyn Io = &**io;
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let client = TcpStream::connect(io, listener.local_addr(io).expect("an address")).expect("connected");
        let error = listener.accept(&*faulty).expect_err("injected");
        assert!(error.raw_os_error().is_some(), "{error}");
        let error = listener.incoming(&*faulty).next(&*faulty).expect_err("injected");
        assert!(error.raw_os_error().is_some(), "{error}");
        let (server, _) = listener.accept(io).expect("it is still in the queue");
        client.write_all(io, b"here").expect("sent");
        server.read(&*faulty, &mut [0; 4]).expect_err("injected");
        client.write(&*faulty, b"gone").expect_err("injected");
        let mut buffer = [0; 8];
        assert_eq!(server.read(io, &mut buffer).expect("all that was sent"), 4);

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        File::create(&*faulty, &path).expect_err("injected");
        assert!(!path.exists());
        let file = File::create(io, &path).expect("made");
        file.write_all(io, b"four").expect("written");
        file.write_all(&*faulty, b"more").expect_err("injected");
        file.set_len(&*faulty, 0).expect_err("injected");
        assert_eq!(fs::read(&path).expect("there"), b"four");

        let (reader, writer) = io::pipe().expect("a pipe");
        let writer = File::from(fs::File::from(std::os::fd::OwnedFd::from(writer)));
        writer.close(&*faulty).expect_err("injected");
        assert_eq!(io::read_to_string(reader).expect("its end"), "", "closed nevertheless");
        assert_eq!(faulty.injected().errors, 8);
    });
}

fn operations_can_be_chosen(on: &On) {
    run(on, |io| {
        let faults = Faults::new().errors(1.0).only(|operation| matches!(operation, Operation::Send { .. }));
        let sends = Faulty::new(io.clone(), 9, faults);
        let faults = Faults::new().short_counts(1.0).only(|operation| matches!(operation, Operation::Receive { .. }));
        let both = Faulty::new(sends.clone(), 10, faults);
        let (near, far) = UnixStream::pair(&*both).expect("a pair");
        near.write(&*both, b"123").expect_err("sends fail");
        near.write_all(&**io, b"123").expect("sent");
        assert!(far.read(&*both, &mut [0; 3]).expect("receives do not") < 3);
        assert_eq!((sends.injected().errors, both.injected().short_counts, both.injected().errors), (1, 1, 0));
    });
}

/// A request is delivered once, at a cancellation point, and successes are reported.
fn a_request_is_delivered_once(on: &On) {
    on.in_task(|io| {
        let io = io.handle().expect("a runtime's");
        let (near, far) = tcp_pair(&*io);
        let (mut before, mut meanwhile) = (0, 0);
        for seed in 0..100 {
            let faulty = Faulty::new(io.clone(), seed, Faults::new().cancellations(1.0));
            match near.write(&*faulty, b"1") {
                Ok(count) => {
                    assert_eq!(
                        (count, far.read(&*io, &mut [0; 2]).map_err(|error| Canceled::is_in(&error))),
                        (1, Err(true))
                    );
                    assert_eq!(far.read(&*io, &mut [0; 2]).expect("once, and completion wins"), 1);
                    meanwhile += 1;
                }
                Err(error) => {
                    assert!(Canceled::is_in(&error), "{error}");
                    before += 1;
                }
            }
            io.check_cancel().expect("once");
            assert_eq!(faulty.injected().cancellations, 1);
        }
        assert!(before > 20 && meanwhile > 20, "{before} {meanwhile}");
        let nothing = io.timeout(Duration::from_millis(5), |io| far.read(io, &mut [0; 1]));
        assert_eq!(nothing.expect_err("nothing was sent by what was canceled").kind(), io::ErrorKind::TimedOut);
    });
}

fn waits_are_canceled_too(on: &On) {
    on.in_task(|io| {
        let faulty = Faulty::new(io.handle().expect("a runtime's"), 11, Faults::new().cancellations(1.0));
        let faulty: &dyn Io = &*faulty;
        faulty.sleep(Duration::from_secs(3_600)).expect_canceled("asked while it slept");
        let (_sender, receiver) = channel::<u32>(1);
        assert!(matches!(receiver.recv(faulty), Err(RecvError::Canceled(_))));
        let mutex = Mutex::new(());
        let guard = mutex.lock(io).expect("free");
        mutex.lock(faulty).map(drop).expect_canceled("asked while it waited");
        drop(guard);
        drop(mutex.lock(faulty).expect("it need not wait"));
        io.check_cancel().expect("nothing is left");
    });
}

fn protect_and_timeouts_hold(on: &On) {
    on.in_task(|io| {
        let (near, _far) = tcp_pair(io);
        let faulty = Faulty::new(io.handle().expect("a runtime's"), 12, Faults::new().cancellations(1.0));
        let io: &dyn Io = &*faulty;
        io.shield(|io| (0..20).for_each(|_| assert_eq!(near.write(io, b"1").expect("protected"), 1)));
        io.check_cancel().expect_canceled("afterwards");
        io.check_cancel().expect("once");
        let canceled = io.timeout(Duration::from_secs(3_600), |io| io.sleep(Duration::from_secs(3_600)));
        assert!(matches!(canceled, Err(WaitError::Canceled(_))), "no timeout has passed: {canceled:?}");
    });
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 13, Faults::new().delays(1.0, Duration::from_secs(36_000)));
        let (near, far) = tcp_pair(&**io);
        let late = faulty.handle().expect("its own").timeout(Duration::from_millis(2), |io| near.write(io, b"late"));
        assert_eq!(late.expect_err("delayed for hours").kind(), io::ErrorKind::TimedOut);
        near.write_all(&**io, b"1").expect("sent");
        assert_eq!(far.read(&**io, &mut [0; 8]).expect("that alone"), 1);
    });
}

fn who_is_asked_by_somebody_ends_a_delay(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 14, Faults::new().delays(1.0, Duration::from_secs(36_000)));
        let (near, _far) = tcp_pair(&**io);
        scope(&*faulty as &dyn Io, |group| {
            let member = concurrently(group, |io| near.write(io, b"late"));
            let error = member.cancel(&**io).expect_err("canceled");
            assert!(Canceled::is_in(&error), "{error}");
        });
    });
}

fn nobody_asks_a_plain_thread(on: &On) {
    on.on_thread(|io| {
        let faulty = Faulty::new(io.handle().expect("a runtime's"), 15, Faults::new().cancellations(1.0));
        faulty.handle().expect("its own").sleep(Duration::from_millis(1)).expect("not canceled");
        assert_eq!(faulty.injected().cancellations, 0);
    });
}

fn tasks_keep_it(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 16, Faults::new());
        let io: &dyn Io = &*faulty;
        let names = |io: &dyn Io| io.backend().detail.contains("faulty");
        assert!(io.spawn_async(names).join(io));
        assert!(io.spawn_concurrent(move |io| io.spawn_async(names).join(io)).expect("free").join(io));
        assert!(scope(io, |group| concurrently(group, names).join(io)));
        assert!(io.spawn_thread("one", names).expect("started").join(io));
    });
}

fn refused_tasks_come_back_or_run_inline(on: &On) {
    run(on, |io| {
        let faulty = Faulty::new(io.clone(), 17, Faults::new().refusals(1.0));
        let io: &dyn Io = &*faulty;
        let thread = std::thread::current().id();
        let task = io.spawn_async(move |_| std::thread::current().id() == thread);
        assert!(task.is_finished() && task.join(io), "inline");
        let error = io.spawn_concurrent(|_| 5).expect_err("refused");
        assert_eq!((error.closure)(io), 5);
        assert_eq!(scope(io, |group| group.spawn_async(|_| 6).join(io)), 6);
        assert_eq!(faulty.injected().refusals, 3);
    });
}

/// The effect of `Failing` on the tasks of a runtime that works.
fn where_everything_fails_tasks_still_end(on: &On) {
    use iolite_io::testing::Failing;
    on.run(|_| {
        let io: &dyn Io = &Failing;
        let both =
            scope(io, |group| [0, 1].map(|_| group.spawn_async(|io| TcpListener::bind(io, "127.0.0.1:0")).join(io)));
        for result in both {
            assert!(result.expect_err("everything fails").raw_os_error().is_some());
        }
        let member = io.spawn_async(|io| io.sleep(Duration::from_micros(100)));
        assert!(member.join(io).is_ok(), "time passes");
    });
}

/// Two tasks pass bytes and items on while both are asked to stop, operations fail, and counts are short. Exactly the
/// bytes and items that were counted as sent arrive, in order.
fn nothing_is_lost_whatever_goes_wrong(on: &On) {
    let mut random = Random::new("nothing_is_lost_whatever_goes_wrong");
    for _ in 0..rounds(40) {
        let seed = random.number();
        run(on, |io| {
            let faults = Faults::new().errors(0.05).short_counts(0.5).cancellations(0.05).refusals(0.1);
            let faulty = Faulty::new(io.clone(), seed, faults.delays(0.05, Duration::from_micros(20)));
            ledger(&*faulty, &**io);
        });
    }
}

fn ledger(faulty: &dyn Io, io: &dyn Io) {
    const BYTES: usize = 10_000;
    let (near, far) = tcp_pair(io);
    let (sender, receiver) = channel(2);
    let expected = content(BYTES);
    let work = |faulty: &dyn Io| {
        // Each sender says how much it has sent.
        let mut sent = 0;
        while sent < BYTES {
            match near.write_all(faulty, &expected[sent..BYTES.min(sent + 512)]) {
                Ok(()) => sent = BYTES.min(sent + 512),
                Err(error) => sent += Incomplete::count_of(&error),
            }
            let mut item = sent;
            while let Err(error) = sender.send(faulty, item) {
                assert!(matches!(error.kind, SendErrorKind::Canceled(_)), "{error}");
                item = error.item;
            }
        }
        while near.shutdown(faulty, Shutdown::Write).is_err() {}
        drop(sender);
    };
    let read = |faulty: &dyn Io| {
        let mut received = Vec::new();
        let mut buffer = [0; 700];
        loop {
            match far.read_exact(faulty, &mut buffer) {
                Ok(()) => received.extend_from_slice(&buffer),
                Err(error) => {
                    received.extend_from_slice(&buffer[..Incomplete::count_of(&error)]);
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        return received;
                    }
                }
            }
        }
    };
    let items = |faulty: &dyn Io| {
        let mut items = Vec::new();
        loop {
            match receiver.recv(faulty) {
                Ok(item) => items.push(item),
                Err(RecvError::Closed) => return items,
                Err(_) => {}
            }
        }
    };
    scope(io, |group| {
        // Work that is started through the runtime's own `Io` is not refused, and uses `faulty`.
        let work = concurrently(group, move |_| work(faulty));
        let read = concurrently(group, |_| read(faulty));
        let items = concurrently(group, |_| items(faulty));
        assert!(read.join(io) == expected, "the bytes that were counted, in order");
        let items = items.join(io);
        assert!(items.is_sorted() && items.last() == Some(&BYTES), "each item once: {items:?}");
        work.join(io);
    });
}
