//! Copies a file with a few buffers. Each buffer alternates between reading and writing, so that reads and writes are
//! under way together.
//!
//! ```text
//! cargo run --example copy -- FROM TO
//! ```

#![forbid(unsafe_code)]

use std::ops::Range;
use std::process::ExitCode;
use std::{env, io};

use iolite::fs::File;
use iolite::{
    Config, Io,
    completion::{Batch, BatchCompletion, Buffers},
    operation::{Operation, Output},
};

const BUFFERS: usize = 8;
const BUFFER_BYTES: usize = 64 << 10;

fn main() -> ExitCode {
    iolite::main(Config::from_env(), |io| {
        let [from, to] = env::args_os().skip(1).collect::<Vec<_>>().try_into().map_err(|_| usage())?;
        let bytes = copy(io, &File::open(io, from)?, &File::create(io, to)?)?;
        println!("{bytes} bytes");
        io::Result::Ok(())
    })
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: copy FROM TO")
}

/// Copies the content of `from` to the same offsets in `to`. Returns the number of bytes.
fn copy(io: &dyn Io, from: &File, to: &File) -> io::Result<u64> {
    let length = from.len(io)?;
    let mut parts = (0..length).step_by(BUFFER_BYTES).map(|begin| begin..length.min(begin + BUFFER_BYTES as u64));
    let mut turns: Vec<Turn> = parts.by_ref().take(BUFFERS).map(Turn::new).collect();
    let mut buffers = vec![[0; BUFFER_BYTES]; turns.len()];
    let mut copied = 0;
    io.batch(|batch| {
        for (index, buffer) in buffers.iter_mut().enumerate() {
            turns[index].go_on(batch, index, buffer, from, to);
        }
        while !batch.is_empty() {
            batch.wait(io)?;
            while let Some(BatchCompletion { index, result, lent }) = batch.next() {
                let (Output::Count(count), Buffers::Buffer(buffer)) = (result?, lent) else { continue };
                let turn = &mut turns[index];
                copied += turn.progressed(count)?;
                if turn.part.is_empty() {
                    let Some(part) = parts.next() else { continue };
                    *turn = Turn::new(part);
                }
                turn.go_on(batch, index, buffer, from, to);
            }
        }
        Ok(copied)
    })
}

/// The state of one buffer.
struct Turn {
    /// The bytes of the files that the buffer still has to copy.
    part: Range<u64>,
    /// The bytes of the buffer that were read but not yet written.
    held: Range<usize>,
}

impl Turn {
    fn new(part: Range<u64>) -> Self {
        Self { part, held: 0..0 }
    }

    /// Adds the next operation: a write of the bytes that were read, or a read.
    fn go_on<'scope>(
        &self,
        batch: &Batch<'scope, '_>,
        index: usize,
        buffer: &'scope mut [u8],
        from: &'scope File,
        to: &'scope File,
    ) {
        let offset = Some(self.part.start);
        if self.held.is_empty() {
            batch.add(index, Operation::Read { file: from.as_ref(), buffer, memory: None, offset });
        } else {
            batch.add_write(index, to.as_ref(), buffer, self.held.clone(), offset);
        }
    }

    /// Records the result of a read or write, which may be shorter than requested. Returns the number of bytes that
    /// were copied.
    fn progressed(&mut self, count: usize) -> io::Result<u64> {
        match (count, self.held.is_empty()) {
            (0, true) => Err(io::ErrorKind::UnexpectedEof.into()),
            (0, false) => Err(io::ErrorKind::WriteZero.into()),
            (_, true) => {
                // After a short read, the rest of the buffer would take bytes of the next part, which another buffer
                // copies.
                let wanted = self.part.end - self.part.start;
                self.held = 0..count.min(usize::try_from(wanted).unwrap_or(count));
                Ok(0)
            }
            (_, false) => {
                self.held.start += count;
                self.part.start += count as u64;
                Ok(count as u64)
            }
        }
    }
}

#[cfg(test)]
mod test {
    use iolite::testing::{Faults, Faulty};
    use iolite::{BackendChoice, fs};

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            iolite::run(Config::new().backend(backend), |io| {
                let short = Faulty::new(io.handle().unwrap(), 1, Faults::new().short_counts(0.5));
                for length in [0, 1, 3_000_001] {
                    copies(io, length);
                    copies(&*short, length);
                }
                assert!(short.injected().short_counts > 0);
            })
            .unwrap();
        }
    }

    fn copies(io: &dyn Io, length: u32) {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..length).map(|number| number.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]).collect();
        let path = folder.path().join("from");
        fs::write(io, &path, &content).unwrap();
        let (from, to) = (File::open(io, &path).unwrap(), fs::temp_file(io, folder.path()).unwrap());
        assert_eq!(copy(io, &from, &to).unwrap(), u64::from(length));
        let mut copied = Vec::new();
        to.read_to_end(io, &mut copied).unwrap();
        assert!(copied == content, "the same bytes");
    }
}
