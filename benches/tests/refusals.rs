//! Requests that the program refuses end with exit code 2 and a line that says why.

use std::process::Command;

#[test]
fn a_file_that_is_no_file_of_ours_is_left_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let command = format!("files --mib 1 --rounds 1 --file {}", file.path().display());
    let output = Command::new(env!("CARGO_BIN_EXE_iolite-bench")).args(command.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose another --file"));
    assert_eq!(file.path().metadata().unwrap().len(), 0);
}

#[test]
fn a_question_that_cannot_be_asked_ends_with_code_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_iolite-bench")).args(["tasks", "--peers", "raw-uring"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("raw-uring has no program for this"));
}
