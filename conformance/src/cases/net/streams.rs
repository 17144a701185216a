//! Streams with std's traits.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;

use iolite_io::fs::File;
use iolite_io::{Canceled, Incomplete};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    lines_are_read_through_a_std_reader,
    std_copies_between_them,
    files_seek_as_std_does,
    an_owned_stream_keeps_its_io,
    a_cancellation_ends_stds_helpers,
    incomplete_tells_its_count_and_its_cause,
    vectored_calls_go_through_std_traits,
];

fn lines_are_read_through_a_std_reader(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        scope(io, |group| {
            let writer = concurrently(group, move |io| {
                let mut writer = BufWriter::new(client.with(io));
                for number in 0..100 {
                    writeln!(writer, "line {number}")?;
                }
                writer.flush()
            });
            let lines: Vec<String> =
                BufReader::new(server.with(io)).lines().map(|line| line.expect("a line")).take(100).collect();
            writer.join(io).expect("sent");
            assert_eq!((lines.len(), lines[99].as_str()), (100, "line 99"));
        });
    });
}

fn std_copies_between_them(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let content: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        fs::write(folder.path().join("from"), &content).expect("written");
        let from = File::open(io, folder.path().join("from")).expect("opened");
        let to = File::create(io, folder.path().join("to")).expect("made");
        let (client, server) = tcp_pair(io);
        scope(io, |group| {
            let sender = concurrently(group, |io| {
                let count = io::copy(&mut from.with(io), &mut client.with(io))?;
                client.shutdown(io, Shutdown::Write)?;
                Ok::<_, io::Error>(count)
            });
            assert_eq!(io::copy(&mut server.with(io), &mut to.with(io)).expect("received"), 300_000);
            assert_eq!(sender.join(io).expect("sent"), 300_000);
        });
        assert!(fs::read(folder.path().join("to")).expect("there") == content);
    });
}

fn files_seek_as_std_does(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "0123456789").expect("written");
        let file = File::open(io, folder.path().join("file")).expect("opened");
        let mut stream = BufReader::new(file.with(io));
        stream.seek(SeekFrom::Start(4)).expect("moved");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        assert_eq!(text, "456789");
    });
}

/// Libraries require a stream that is owned, `Send`, `Sync` and `'static`.
fn an_owned_stream_keeps_its_io(on: &On) {
    fn takes(mut stream: impl Read + Write + Send + Sync + 'static) -> io::Result<String> {
        stream.write_all(b"question")?;
        stream.flush()?;
        let mut buffer = [0; 6];
        stream.read_exact(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        let client = client.into_with(io.handle().expect("a backend has a handle"));
        let task = io.spawn_concurrent(move |_| takes(client)).expect("concurrent");
        let mut buffer = [0; 8];
        server.read_exact(io, &mut buffer).expect("received");
        assert_eq!(&buffer, b"question");
        server.write_all(io, b"answer").expect("sent");
        assert_eq!(task.join(io).expect("answered"), "answer");
        let server = server.into_with(io.handle().expect("a backend has a handle"));
        assert!(server.get_ref().local_addr(io).is_ok());
        drop(server.into_inner());
    });
}

/// Std's helpers retry `Interrupted` for ever, so a cancellation is a different error.
fn a_cancellation_ends_stds_helpers(on: &On) {
    on.run(|io| {
        let (client, _server) = tcp_pair(io);
        scope(io, |group| {
            let reader = concurrently(group, |io| {
                let mut stream = client.with(io);
                (stream.read_to_end(&mut Vec::new()), io.check_cancel())
            });
            io.yield_now();
            let (read, checked) = reader.cancel(io);
            assert!(Canceled::is_in(&read.expect_err("canceled")));
            checked.expect("delivered once");
        });
    });
}

fn incomplete_tells_its_count_and_its_cause(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.write_all(io, b"abc").expect("sent");
        drop(server);
        let error = client.read_exact(io, &mut [0; 9]).expect_err("too early");
        assert!(error.to_string().contains("after 3 bytes"), "{error}");
        assert_eq!(Incomplete::count_of(&io::Error::other("another")), 0);
        let back = Canceled::from_error(error).expect_err("no cancellation");
        assert_eq!((Incomplete::count_of(&back), back.kind()), (3, io::ErrorKind::UnexpectedEof));
    });
}

fn vectored_calls_go_through_std_traits(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        let count = client.with(io).write_vectored(&[io::IoSlice::new(b"ab"), io::IoSlice::new(b"cd")]).expect("sent");
        assert_eq!(count, 4);
        let (mut first, mut second) = ([0; 2], [0; 2]);
        server.peek(io, &mut [0; 4]).expect("there");
        let mut buffers = [io::IoSliceMut::new(&mut first), io::IoSliceMut::new(&mut second)];
        assert_eq!(server.with(io).read_vectored(&mut buffers).expect("received"), 4);
        assert_eq!((&first, &second), (b"ab", b"cd"));
    });
}
