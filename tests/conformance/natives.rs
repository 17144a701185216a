//! Operations that one backend has beside the vocabulary's.

use std::io::ErrorKind;

use iolite::Operation;
use iolite::evented::op;
use rstest::rstest;

use crate::support::{On, evented, threaded};

#[rstest]
fn what_is_no_operation_of_the_backend_is_unsupported(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let error = io.operate(Operation::Native { operation: &mut "anything" }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(io.backend().name), "{error}");
    });
}

#[rstest]
fn operations_of_io_uring_are_the_evented_backends(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let nothing = op::Do::new(op::Nop {}).id(&op::Id::new()).perform(io);
        match io.backend().name {
            "evented" => nothing.unwrap(),
            name => {
                let error = nothing.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    });
}
