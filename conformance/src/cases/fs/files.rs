//! Files.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use iolite_io::fs::{BufferPool, File, OpenOptions};
use iolite_io::{
    Canceled, Incomplete, Io,
    backend::Decorator,
    operation::{Operation, Output},
};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, mkfifoat};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, openpt};

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::tools::{concurrently, in_folder, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    options_open_what_std_opens,
    exclusive_creation_fails_on_an_existing_file,
    errors_keep_their_errno,
    the_mode_is_the_new_files,
    custom_flags_are_added_and_leave_the_access_mode,
    streaming_calls_share_the_position,
    positional_calls_leave_the_position_alone,
    vectored_calls_fill_and_write_in_order,
    vectored_calls_work_on_pipes,
    what_has_no_offsets_refuses_them,
    going_past_the_end_discards_nothing,
    files_are_opened_in_stds_ways,
    appending_writes_at_the_end,
    the_length_is_set_and_told,
    syncing_and_closing_succeed,
    read_to_end_appends_all_that_is_left,
    a_full_disk_is_told,
    a_file_that_is_full_in_the_middle_tells_how_far,
    tasks_write_side_by_side_at_their_offsets,
    pooled_buffers_read_and_write_what_plain_ones_do,
    a_pooled_buffer_holds_nothing_after_an_error,
    pooled_buffers_go_past_the_page_cache,
    a_pipe_read_as_a_file_waits_and_is_canceled,
    a_text_that_ends_early_loses_no_byte,
    what_waits_for_other_programs_keeps_no_file_waiting,
    reading_to_the_end_lends_no_more_than_comes,
    a_file_comes_from_std_and_goes_back,
];

pub(crate) const PAIRS: &[Case] = pairs![a_pool_serves_files_everywhere];

fn opened(io: &dyn Io, path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).open(io, path).expect("open")
}

/// All 64 combinations, on a file that exists and one that does not, have the same results as in std.
fn options_open_what_std_opens(on: &On) {
    in_folder(on, |io, folder| {
        let (ours, stds) = (folder.join("ours"), folder.join("std's"));
        for exists in [false, true] {
            for bits in 0..64_u32 {
                let bit = |number: u32| bits & (1 << number) != 0;
                let mut options = OpenOptions::new();
                options.read(bit(0)).write(bit(1)).append(bit(2));
                options.truncate(bit(3)).create(bit(4)).create_new(bit(5));
                let mut std_options = fs::OpenOptions::new();
                std_options.read(bit(0)).write(bit(1)).append(bit(2));
                std_options.truncate(bit(3)).create(bit(4)).create_new(bit(5));
                for path in [&ours, &stds] {
                    let _ = fs::remove_file(path);
                    if exists {
                        fs::write(path, "before").expect("written");
                    }
                }
                let told = |error: io::Error| (error.kind(), error.raw_os_error());
                let result = options.open(io, &ours).map(drop).map_err(told);
                let std_result = std_options.open(&stds).map(drop).map_err(told);
                assert_eq!(result, std_result, "{options:?}, exists: {exists}");
                assert_eq!(fs::read(&ours).ok(), fs::read(&stds).ok(), "{options:?}, exists: {exists}");
            }
        }
    });
}

fn exclusive_creation_fails_on_an_existing_file(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        options.open(io, &path).expect("made");
        let error = options.open(io, &path).expect_err("it exists");
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::AlreadyExists, Some(17)));
    });
}

fn errors_keep_their_errno(on: &On) {
    in_folder(on, |io, folder| {
        let error = File::open(io, folder.join("missing")).expect_err("missing");
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::NotFound, Some(2)));
        let error = File::create(io, folder).expect_err("a folder");
        assert_eq!(error.raw_os_error(), Some(21));
        let path = folder.join("file");
        let write_only = File::create(io, &path).expect("made");
        assert_eq!(write_only.read(io, &mut [0]).expect_err("not for reading").raw_os_error(), Some(9));
        let read_only = File::open(io, &path).expect("opened");
        assert_eq!(read_only.write(io, b"x").expect_err("not for writing").raw_os_error(), Some(9));
        assert_eq!(read_only.set_len(io, 1).expect_err("not for writing").raw_os_error(), Some(22));
        let error = File::open(io, "a path with a \0 in it").expect_err("no path");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

fn the_mode_is_the_new_files(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        OpenOptions::new().write(true).create(true).mode(0o600).open(io, &path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    });
}

fn custom_flags_are_added_and_leave_the_access_mode(on: &On) {
    in_folder(on, |io, folder| {
        let (path, link) = (folder.join("file"), folder.join("link"));
        fs::write(&path, "text").expect("written");
        symlink(&path, &link).expect("linked");
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::WRONLY).bits() as i32);
        assert_eq!(options.open(io, &link).expect_err("a link").raw_os_error(), Some(40));
        let mut text = [0; 4];
        options.open(io, &path).expect("opened").read_exact(io, &mut text).expect("read");
        assert_eq!(&text, b"text");
    });
}

fn streaming_calls_share_the_position(on: &On) {
    in_folder(on, |io, folder| {
        let file = opened(io, &folder.join("file"));
        file.write_all(io, b"0123456789").expect("written");
        assert_eq!(file.seek(io, SeekFrom::Start(2)).expect("moved"), 2);
        let mut buffer = [0; 3];
        file.read_exact(io, &mut buffer).expect("read");
        assert_eq!(&buffer, b"234");
        assert_eq!(file.seek(io, SeekFrom::Current(-1)).expect("moved"), 4);
        file.write_all(io, b"XY").expect("written");
        assert_eq!(file.seek(io, SeekFrom::End(-3)).expect("moved"), 7);
        assert_eq!(file.read(io, &mut buffer).expect("read"), 3);
        assert_eq!(&buffer, b"789");
        assert_eq!(file.read(io, &mut buffer).expect("the end"), 0);
        assert_eq!(file.read(io, &mut []).expect("an empty buffer"), 0);
        assert_eq!(file.seek(io, SeekFrom::Current(-100)).expect_err("before the beginning").raw_os_error(), Some(22));
        assert_eq!(fs::read(folder.join("file")).expect("there"), b"0123XY6789");
    });
}

fn positional_calls_leave_the_position_alone(on: &On) {
    in_folder(on, |io, folder| {
        let file = opened(io, &folder.join("file"));
        file.write_all_at(io, b"world", 5).expect("written");
        file.write_all_at(io, b"hello", 0).expect("written");
        assert_eq!(file.seek(io, SeekFrom::Current(0)).expect("asked"), 0);
        let mut buffer = [0; 10];
        file.read_exact_at(io, &mut buffer, 0).expect("read");
        assert_eq!(&buffer, b"helloworld");
        assert_eq!(file.read_at(io, &mut buffer, 8).expect("what is left"), 2);
        assert_eq!(file.read_at(io, &mut buffer, 10).expect("the end"), 0);
        assert_eq!(file.read_at(io, &mut buffer, 1 << 40).expect("past the end"), 0);
        for offset in [1 << 63, u64::MAX] {
            let error = file.read_at(io, &mut buffer, offset).expect_err("no such offset");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
            let error = file.write_at(io, b"!", offset).expect_err("no such offset");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        let error = file.read_exact_at(io, &mut buffer, 6).expect_err("too short");
        assert_eq!((error.kind(), Incomplete::count_of(&error)), (io::ErrorKind::UnexpectedEof, 4));
    });
}

/// At the position and at offsets, on empty buffers, and on more buffers than one call accepts.
fn vectored_calls_fill_and_write_in_order(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let file = opened(io, &path);
        let slices = [&b""[..], b"one ", b"", b"two ", b"three"].map(IoSlice::new);
        assert_eq!(file.write_vectored(io, &slices).expect("written"), 13);
        assert_eq!(file.write_vectored_at(io, &slices[3..4], 9).expect("written"), 4);
        assert_eq!(fs::read(&path).expect("there"), b"one two ttwo ");
        assert_eq!(file.write_vectored(io, &[]).expect("nothing to do"), 0);
        assert_eq!(file.write_vectored_at(io, &slices[..1], 5).expect("nothing to do"), 0);
        let (mut first, mut second) = ([0; 4], [0; 100]);
        let mut both = [&mut [][..], &mut first, &mut second].map(IoSliceMut::new);
        assert_eq!(file.read_vectored_at(io, &mut both, 4).expect("read"), 9);
        assert_eq!((&first, &second[..5]), (b"two ", &b"ttwo "[..]));
        assert_eq!(file.seek(io, SeekFrom::Start(8)).expect("moved"), 8);
        let mut both = [&mut first[..2], &mut second].map(IoSliceMut::new);
        assert_eq!(file.read_vectored(io, &mut both).expect("read"), 5);
        assert_eq!((&first[..2], &second[..3]), (&b"tt"[..], &b"wo "[..]));
        assert_eq!(file.read_vectored(io, &mut both_of(&mut first)).expect("the end"), 0);
        assert_eq!(file.read_vectored(io, &mut []).expect("nothing to do"), 0);
        assert_eq!(
            file.read_vectored_at(io, &mut both_of(&mut first), u64::MAX).expect_err("no offset").raw_os_error(),
            Some(22)
        );

        let many: Vec<_> = (0..3_000).map(|_| IoSlice::new(b"x")).collect();
        let file = File::create(io, &path).expect("made");
        assert!((1..=3_000).contains(&file.write_vectored(io, &many).expect("written")));
        let mut bytes = [0; 3_000];
        let mut many: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        let file = File::open(io, &path).expect("opened");
        assert!((1..=3_000).contains(&file.read_vectored(io, &mut many).expect("read")));
    });
}

fn both_of(buffer: &mut [u8]) -> [IoSliceMut<'_>; 2] {
    let (first, second) = buffer.split_at_mut(buffer.len() / 2);
    [first, second].map(IoSliceMut::new)
}

/// A pipe is written and read through several buffers.
fn vectored_calls_work_on_pipes(on: &On) {
    on.run(|io| {
        let (reader, writer) = io::pipe().expect("a pipe");
        let [reader, writer] = [OwnedFd::from(reader), OwnedFd::from(writer)].map(|fd| File::from(fs::File::from(fd)));
        scope(io, |group| {
            let member = concurrently(group, |io| {
                let mut bytes = [0; 6];
                let mut count = 0;
                while count < 6 {
                    count += reader.read_vectored(io, &mut both_of(&mut bytes[count..])).expect("read");
                }
                bytes
            });
            let mut rest = &b"abcdef"[..];
            while !rest.is_empty() {
                let (first, second) = rest.split_at(rest.len() / 2);
                let count = writer.write_vectored(io, &[first, second].map(IoSlice::new)).expect("written");
                rest = &rest[count..];
            }
            assert_eq!(&member.join(io), b"abcdef");
            let member = concurrently(group, |io| reader.read_vectored(io, &mut both_of(&mut [0; 4])));
            assert!(Canceled::is_in(&member.cancel(io).expect_err("canceled")));
        });
    });
}

/// Past the end there is nothing to read, and a write leaves zeros before it, as with std's calls. The position does
/// not move.
fn what_has_no_offsets_refuses_them(on: &On) {
    on.run(|io| {
        let (reader, writer) = io::pipe().expect("a pipe");
        let [reader, writer] = [OwnedFd::from(reader), OwnedFd::from(writer)].map(|fd| File::from(fs::File::from(fd)));
        writer.write_all(io, b"stays").expect("written");
        refuses_offsets(io, &reader, &writer);
        let mut bytes = [0; 8];
        assert_eq!(reader.read(io, &mut bytes).expect("read"), 5);
        assert_eq!(&bytes[..5], b"stays");
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        let terminal = File::from(fs::File::from(terminal));
        refuses_offsets(io, &terminal, &terminal);
    });
    in_folder(on, |io, folder| {
        let path = folder.join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("a FIFO");
        let fifo = File::options().read(true).write(true).open(io, &path).expect("both ends");
        fifo.write_all(io, b"stays").expect("written");
        refuses_offsets(io, &fifo, &fifo);
        let mut bytes = [0; 8];
        assert_eq!(fifo.read(io, &mut bytes).expect("read"), 5);
    });
}

fn refuses_offsets(io: &dyn Io, from: &File, to: &File) {
    let pool = BufferPool::new(1, 8);
    let mut pooled = pool.try_take().expect("a buffer");
    pooled.set_len(2);
    let mut bytes = [0; 2];
    let refused = [
        ("read_at", from.read_at(io, &mut bytes, 1).map(drop)),
        ("read_exact_at", from.read_exact_at(io, &mut bytes, 1)),
        ("read_vectored_at", from.read_vectored_at(io, &mut both_of(&mut bytes), 1).map(drop)),
        ("write_at", to.write_at(io, b"ab", 1).map(drop)),
        ("write_all_at", to.write_all_at(io, b"ab", 1)),
        ("write_vectored_at", to.write_vectored_at(io, &[&b"a"[..], b"b"].map(IoSlice::new), 1).map(drop)),
        ("write_pooled_at", to.write_pooled_at(io, &pooled, 1).map(drop)),
        ("read_pooled_at", from.read_pooled_at(io, &mut pooled, 1).map(drop)),
    ];
    for (call, result) in refused {
        let errno = result.as_ref().map_err(io::Error::raw_os_error);
        assert_eq!(errno, Err(Some(Errno::SPIPE.raw_os_error())), "{call}");
    }
}

fn going_past_the_end_discards_nothing(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let file = opened(io, &path);
        file.write_all(io, b"content").expect("written");
        file.seek(io, SeekFrom::Start(2)).expect("moved");
        let discarded = io::copy(&mut io::Read::take(file.with(io), 100), &mut io::sink());
        assert_eq!(discarded.expect("what there was"), 5);
        assert_eq!(file.seek(io, SeekFrom::Start(20)).expect("moved"), 20);
        assert_eq!(file.read(io, &mut [0; 4]).expect("the end"), 0);
        file.write_all(io, b"!").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"content\0\0\0\0\0\0\0\0\0\0\0\0\0!");
    });
}

fn files_are_opened_in_stds_ways(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let file = File::create_new(io, &path).expect("made");
        assert_eq!(File::create_new(io, &path).expect_err("it exists").kind(), io::ErrorKind::AlreadyExists);
        file.write_all(io, "täxt".as_bytes()).expect("written");
        let duplicate = file.try_clone().expect("a descriptor is free");
        assert_eq!(duplicate.seek(io, SeekFrom::Current(0)).expect("shared"), 5);
        duplicate.seek(io, SeekFrom::Start(0)).expect("moved");
        let mut text = String::from("a ");
        assert_eq!(file.read_to_string(io, &mut text).expect("text"), 5);
        assert_eq!(text, "a täxt");
        file.seek(io, SeekFrom::Start(2)).expect("into a character");
        assert_eq!(file.read_to_string(io, &mut text).expect_err("no text").kind(), io::ErrorKind::InvalidData);
        assert_eq!(text, "a täxt", "nothing was appended");
        assert_eq!(File::options().read(true).open(io, &path).expect("opened").len(io).expect("told"), 5);
    });
}

fn appending_writes_at_the_end(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        fs::write(&path, "before ").expect("written");
        let mut options = OpenOptions::new();
        let first = options.append(true).open(io, &path).expect("opened");
        let second = options.open(io, &path).expect("opened");
        first.write_all(io, b"first ").expect("written");
        second.write_all(io, b"second").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "before first second");
    });
}

fn the_length_is_set_and_told(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let file = opened(io, &path);
        file.write_all(io, b"0123456789").expect("written");
        assert_eq!(file.len(io).expect("told"), 10);
        file.set_len(io, 4).expect("cut");
        assert_eq!(fs::read(&path).expect("there"), b"0123");
        file.set_len(io, 6).expect("extended");
        assert_eq!(fs::read(&path).expect("there"), b"0123\0\0");
        assert_eq!(file.len(io).expect("told"), 6);
    });
}

fn syncing_and_closing_succeed(on: &On) {
    in_folder(on, |io, folder| {
        let file = opened(io, &folder.join("file"));
        file.write_all(io, b"content").expect("written");
        file.sync_data(io).expect("synced");
        file.sync_all(io).expect("synced");
        file.close(io).expect("closed");
    });
}

fn read_to_end_appends_all_that_is_left(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        for length in [0, 1, 4095, 4096, 4097, 100_000, 3 << 20] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            fs::write(&path, &content).expect("written");
            let file = File::open(io, &path).expect("opened");
            let mut bytes = b"before".to_vec();
            assert_eq!(file.read_to_end(io, &mut bytes).expect("read"), length);
            assert!(bytes[..6] == *b"before" && bytes[6..] == content);
        }
    });
}

fn a_full_disk_is_told(on: &On) {
    on.run(|io| {
        let file = OpenOptions::new().write(true).open(io, "/dev/full").expect("every Linux has it");
        let error = file.write_all(io, b"x").expect_err("full");
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::StorageFull, Some(28)));
    });
}

/// The position moves by the number of bytes written, so that the next write does not overwrite them.
fn a_file_that_is_full_in_the_middle_tells_how_far(on: &On) {
    const ROOM: usize = 100_000;
    on.run(|io| {
        let fd = memfd_create("bounded", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("made");
        let file = File::from(fs::File::from(fd));
        file.set_len(io, ROOM as u64).expect("extended");
        fcntl_add_seals(&file, SealFlags::GROW).expect("sealed");
        let content: Vec<u8> = (0..=250).cycle().take(2 * ROOM).collect();
        let mut written = 0;
        for chunk in content.chunks(30_000) {
            match file.write_all(io, chunk) {
                Ok(()) => written += chunk.len(),
                Err(error) => {
                    written += Incomplete::count_of(&error);
                    break;
                }
            }
        }
        // The kernel fills the page before the end, and no more.
        assert!(written > 90_000 && written <= ROOM, "{written}");
        assert_eq!(file.seek(io, SeekFrom::Current(0)).expect("asked"), written as u64);
        let mut read = vec![0; written];
        file.read_exact_at(io, &mut read, 0).expect("read");
        assert!(read == content[..written]);
    });
}

fn tasks_write_side_by_side_at_their_offsets(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let file = opened(io, &path);
        scope(io, |group| {
            for number in 0..16_u8 {
                let file = &file;
                drop(concurrently(group, move |io| {
                    file.write_all_at(io, &[number; 5000], u64::from(number) * 5000).expect("written");
                }));
            }
        });
        let content = fs::read(&path).expect("there");
        assert_eq!(content.len(), 80_000);
        assert!(content.chunks(5000).zip(0..).all(|(chunk, number)| chunk.iter().all(|byte| *byte == number)));
    });
}

/// The results are those of plain reads and writes, and the buffer contains the bytes read.
fn pooled_buffers_read_and_write_what_plain_ones_do(on: &On) {
    in_folder(on, |io, folder| {
        let (path, pool) = (folder.join("file"), BufferPool::new(2, 4096));
        let content: Vec<u8> = (0..=250).cycle().take(10_000).collect();
        let file = opened(io, &path);
        let mut buffer = pool.take(io).expect("taken");
        for (chunk, offset) in content.chunks(4096).zip((0..).step_by(4096)) {
            buffer.storage_mut()[..chunk.len()].copy_from_slice(chunk);
            buffer.set_len(chunk.len());
            assert_eq!(file.write_pooled_at(io, &buffer, offset).expect("written"), chunk.len());
        }
        assert!(fs::read(&path).expect("there") == content);
        for offset in [0, 1, 4096, 8192, 9_999, 10_000, 20_000] {
            let rest = content.get(offset..).unwrap_or_default();
            let expected = &rest[..rest.len().min(4096)];
            assert_eq!(file.read_pooled_at(io, &mut buffer, offset as u64).expect("read"), expected.len());
            assert!(*buffer == *expected, "from {offset}");
        }
        buffer.set_len(0);
        assert_eq!(file.write_pooled_at(io, &buffer, 0).expect("nothing to do"), 0);
        assert_eq!(file.len(io).expect("asked"), 10_000);
    });
}

fn a_pooled_buffer_holds_nothing_after_an_error(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        fs::write(&path, "content").expect("written");
        let (readable, pool) = (File::open(io, &path).expect("opened"), BufferPool::new(1, 64));
        let mut buffer = pool.take(io).expect("taken");
        assert_eq!(readable.read_pooled_at(io, &mut buffer, 0).expect("read"), 7);
        let error = readable.write_pooled_at(io, &buffer, 0).expect_err("not open for it");
        assert_eq!(error.raw_os_error(), Some(9));
        let writable = OpenOptions::new().write(true).open(io, &path).expect("opened");
        let error = writable.read_pooled_at(io, &mut buffer, 0).expect_err("not open for it");
        assert_eq!((error.raw_os_error(), buffer.len()), (Some(9), 0));
        let error = readable.read_pooled_at(io, &mut buffer, u64::MAX).expect_err("no offset");
        assert_eq!(error.raw_os_error(), Some(22));
    });
}

/// Buffers of whole pages meet the requirements of `O_DIRECT`.
fn pooled_buffers_go_past_the_page_cache(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        fs::write(&path, vec![7; 3 * 4096]).expect("written");
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::DIRECT.bits() as i32);
        let file = match options.open(io, &path) {
            Ok(file) => file,
            Err(error) => return on.not_run(format!("no O_DIRECT in the folder for temporary files: {error}")),
        };
        let pool = BufferPool::new(3, 4096);
        let buffers = [(); 3].map(|()| pool.take(io).expect("taken"));
        for (mut buffer, number) in buffers.into_iter().zip(0_u8..) {
            let offset = u64::from(number) * 4096;
            assert_eq!(file.read_pooled_at(io, &mut buffer, offset).expect("read"), 4096);
            assert_eq!(*buffer, [7; 4096]);
            buffer.fill(number);
            assert_eq!(file.write_pooled_at(io, &buffer, offset).expect("written"), 4096);
        }
        let content = fs::read(&path).expect("there");
        assert!(content.chunks(4096).zip(0..).all(|(page, number)| page.iter().all(|byte| *byte == number)));
    });
}

/// The owner of a buffer may read with it on any executor, on a plain thread, and through another `Io`.
fn a_pool_serves_files_everywhere(one: &On, other: &On) {
    const TASKS: u8 = 16;
    in_folder(&one.executors(2), |io, folder| {
        let (file, pool) = (opened(io, &folder.join("file")), BufferPool::new(3, 512));
        // Each has a page of its own.
        let turns = |io: &dyn Io, number: u8| {
            for turn in 0..20 {
                let offset = 512 * u64::from(number);
                let mut buffer = pool.take(io).expect("taken");
                buffer.storage_mut().fill(number ^ turn);
                buffer.set_len(512);
                assert_eq!(file.write_pooled_at(io, &buffer, offset).expect("written"), 512);
                drop(buffer);
                let mut buffer = pool.take(io).expect("taken");
                assert_eq!(file.read_pooled_at(io, &mut buffer, offset).expect("read"), 512);
                assert_eq!(*buffer, [number ^ turn; 512]);
            }
        };
        scope(io, |group| {
            for number in 0..TASKS {
                drop(concurrently(group, move |io| turns(io, number)));
            }
            turns(io, TASKS);
            other.in_task(|io| turns(io, TASKS + 1));
        });
    });
}

/// A file that is not on a disk: reading it waits, and can be canceled.
fn a_pipe_read_as_a_file_waits_and_is_canceled(on: &On) {
    on.run(|io| {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let file = File::from(fs::File::from(std::os::fd::OwnedFd::from(reader)));
        scope(io, |group| {
            for _ in 0..20 {
                let member = concurrently(group, |io| file.read(io, &mut [0; 4]));
                io.yield_now();
                assert!(Canceled::is_in(&member.cancel(io).expect_err("canceled")));
            }
            let member = concurrently(group, |io| file.read(io, &mut [0; 4]));
            io::Write::write_all(&mut writer, b"here").expect("written");
            assert_eq!(member.join(io).expect("read"), 4);
        });
    });
}

/// A text may be cut by a cancellation, of a pipe that is empty, or by the end.
fn a_text_that_ends_early_loses_no_byte(on: &On) {
    on.run(|io| {
        let whole = "a\u{e4}\u{20ac}\u{1f600}";
        for cut in 0..=whole.len() {
            let (reader, mut writer) = io::pipe().expect("a pipe");
            let file = File::from(fs::File::from(OwnedFd::from(reader)));
            let (bytes, rest) = whole.as_bytes().split_at(cut);
            io::Write::write_all(&mut writer, bytes).expect("written");
            let mut text = String::from("before ");
            scope(io, |group| {
                let member = concurrently(group, |io| file.read_to_string(io, &mut text));
                until(io, || rustix::io::ioctl_fionread(&file).expect("told") == 0);
                let error = member.cancel(io).expect_err("there is no end");
                assert!(Canceled::is_in(&error), "{error}");
                let (count, unwritten) = (Incomplete::count_of(&error), Incomplete::unwritten_of(&error));
                assert_eq!((count, unwritten), told(bytes), "cut at {cut}");
            });
            assert_eq!(text.as_bytes(), [b"before ", &bytes[..told(bytes).0]].concat());

            io::Write::write_all(&mut writer, rest).expect("written");
            drop(writer);
            let mut text = String::new();
            match file.read_to_string(io, &mut text) {
                Ok(count) => assert_eq!(count, rest.len()),
                Err(error) => {
                    assert_eq!((error.kind(), Incomplete::count_of(&error)), (io::ErrorKind::InvalidData, text.len()));
                    assert_eq!([text.as_bytes(), Incomplete::unwritten_of(&error)].concat(), rest);
                }
            }
            assert_eq!(str::from_utf8(rest).is_ok(), text.len() == rest.len());
        }
    });
}

/// Returns the number of valid bytes at the beginning of a text, and the rest of a cut character.
fn told(bytes: &[u8]) -> (usize, &[u8]) {
    let count = str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    (count, &bytes[count..])
}

/// Many tasks wait for the other ends of FIFOs, more than there are threads for files anywhere, and other file
/// operations are still served.
fn what_waits_for_other_programs_keeps_no_file_waiting(on: &On) {
    const FIFOS: usize = 12;
    in_folder(on, |io, folder| {
        let path = |number: usize| folder.join(number.to_string());
        (0..FIFOS).for_each(|number| mkfifoat(CWD, path(number), Mode::RUSR | Mode::WUSR).expect("made"));
        scope(io, |group| {
            let waiting: Vec<_> = (0..FIFOS)
                .map(|number| {
                    let path = path(number);
                    let task = move |io: &dyn Io| File::open(io, &path).map(drop);
                    group.spawn_concurrent(task).expect("concurrent")
                })
                .collect();
            for round in 0..50 {
                let other = folder.join(format!("file {round}"));
                opened(io, &other).close(io).expect("closed");
                assert!(iolite_io::fs::metadata(io, &other).expect("it is there").is_file());
                io.yield_now();
            }
            for (number, task) in waiting.into_iter().enumerate() {
                let mut options = fs::OpenOptions::new();
                options.write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
                let mut other_end = None;
                until(io, || {
                    other_end = options.open(path(number)).ok();
                    other_end.is_some()
                });
                task.join(io).expect("it has another end");
            }
        });
    });
}

/// Files of which a read returns at most a page, as those of `/proc` do.
struct Pages<'a> {
    io: &'a dyn Io,
    lent: AtomicUsize,
}

impl Decorator for Pages<'_> {
    fn inner(&self) -> &dyn Io {
        self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        match operation {
            Operation::Read { file, buffer, memory, offset } => {
                self.lent.fetch_add(buffer.len(), Ordering::Relaxed);
                let bytes = buffer.len().min(4096);
                self.io.operate(Operation::Read { file, buffer: &mut buffer[..bytes], memory, offset })
            }
            operation => self.io.operate(operation),
        }
    }
}

/// Memory that is lent for a read has to be filled with zeros first.
fn reading_to_the_end_lends_no_more_than_comes(on: &On) {
    const BYTES: usize = 1 << 20;
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        let content: Vec<u8> = (0..=255).cycle().take(BYTES).collect();
        fs::write(&path, &content).expect("written");
        let pages = Pages { io, lent: AtomicUsize::new(0) };
        let mut bytes = Vec::new();
        let file = File::open(io, &path).expect("opened");
        assert_eq!(file.read_to_end(&pages, &mut bytes).expect("read"), BYTES);
        assert!(bytes == content);
        let lent = pages.lent.into_inner();
        assert!(lent <= 3 * BYTES, "{lent} bytes for {BYTES}");
    });
}

/// The position and the mode stay, also for a named pipe in non-blocking mode.
fn a_file_comes_from_std_and_goes_back(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("file");
        fs::write(&path, b"0123456789").expect("written");
        let mut std_file = fs::File::open(&path).expect("opened");
        io::Read::read_exact(&mut std_file, &mut [0; 3]).expect("read");
        let file = File::from_std(std_file);
        let mut bytes = [0; 3];
        file.read_exact(io, &mut bytes).expect("read");
        assert_eq!(&bytes, b"345");
        let mut rest = String::new();
        io::Read::read_to_string(&mut file.into_std(), &mut rest).expect("read");
        assert_eq!(rest, "6789");

        let pipe = folder.join("pipe");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("made");
        let mut options = fs::OpenOptions::new();
        let reader = options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&pipe).expect("opened");
        let mut writer = fs::OpenOptions::new().write(true).open(&pipe).expect("opened");
        let reader = File::from(OwnedFd::from(reader));
        scope(io, |group| {
            let canceled = started(group, io, |io| reader.read(io, &mut [0; 4]));
            canceled.request_cancel();
            let error = canceled.join(io).expect_err("nothing comes");
            assert!(Canceled::is_in(&error), "it waits: {error}");
            let received = started(group, io, |io| reader.read(io, &mut [0; 4]));
            io::Write::write_all(&mut writer, b"x").expect("written");
            assert_eq!(received.join(io).expect("read"), 1);
        });
        let error = io::Read::read(&mut reader.into_std(), &mut [0]).expect_err("it does not block");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(OwnedFd::from(File::open(io, &path).expect("opened")));
    });
}
