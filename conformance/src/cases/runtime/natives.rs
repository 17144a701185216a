//! Operations that only one backend has.

use std::io::ErrorKind;

use iolite_io::operation::Operation;

use crate::On;
use crate::case::{Case, cases};

pub(crate) const CASES: &[Case] = cases![what_is_no_operation_of_the_backend_is_unsupported];

fn what_is_no_operation_of_the_backend_is_unsupported(on: &On) {
    on.run(|io| {
        let error = io.operate(Operation::Native { operation: &mut "anything" }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(io.backend().name), "{error}");
    });
}
