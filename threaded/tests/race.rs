//! A cancellation races the completion of a receive; no byte is lost, nor received twice.

mod support;

use std::hint::black_box;
use std::io::Read;
use std::time::Duration;

use iolite_io::Canceled;
use iolite_io::net::TcpStream;
use support::threaded;

const ROUNDS: u32 = 10_000;

#[test]
fn cancel_against_receive() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut left_over = listener.accept().unwrap().0;
    left_over.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let near = std::sync::Arc::new(TcpStream::from(left_over.try_clone().unwrap()));
    let far = TcpStream::from(far);

    let (mut received, mut canceled, mut pending) = (0, 0, 0);
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    threaded(0, 1).run(|io| {
        far.set_nodelay(io, true).unwrap();
        for round in 0..ROUNDS {
            let byte = [(round % 251) as u8];
            let stream = near.clone();
            let task = io
                .spawn_concurrent(move |io| {
                    let mut buffer = [0; 8];
                    let result = stream.read(io, &mut buffer);
                    (result, buffer[0], io.check_cancel().is_err())
                })
                .unwrap();
            spin(random.below(20_000));
            let gap = random.below(20_000);
            if random.below(2) == 0 {
                far.write_all(io, &byte).unwrap();
                spin(gap);
                task.request_cancel();
            } else {
                task.request_cancel();
                spin(gap);
                far.write_all(io, &byte).unwrap();
            }
            match task.join(io) {
                (Ok(count), first, still_pending) => {
                    assert_eq!((count, first), (1, byte[0]), "round {round}");
                    received += 1;
                    pending += u32::from(still_pending);
                }
                (Err(error), ..) => {
                    assert!(Canceled::is_in(&error), "{error}");
                    canceled += 1;
                    // The byte is there still.
                    let mut first = [0];
                    left_over.read_exact(&mut first).unwrap();
                    assert_eq!(first, byte, "round {round}");
                }
            }
        }
    });
    assert_eq!(received + canceled, ROUNDS);
    println!("received {received} (the request pending afterwards: {pending}), canceled {canceled}");
    assert!(received >= ROUNDS / 20 && canceled >= ROUNDS / 20, "received {received}, canceled {canceled}");
}

fn spin(turns: u32) {
    for turn in 0..turns {
        black_box(turn);
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % limit
    }
}
