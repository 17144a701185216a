//! Parses values and checks their ranges. An error says what is wrong, but not for which key.

use std::time::Duration;

use super::choice::BackendChoice;
use super::spelling::nearest;
use crate::backend::TaskOptions;

const KIB: usize = 1 << 10;
const EXECUTORS_MAX: usize = 1024;

/// No computer has a use for more threads that wait for disks or names at once.
const BLOCKING_MAX: usize = 1024;

pub(super) fn backend(text: &str) -> Result<BackendChoice, String> {
    match text {
        "auto" => Ok(BackendChoice::Auto),
        "threaded" => Ok(BackendChoice::Threaded),
        "evented" => Ok(BackendChoice::Evented),
        _ => Err(format!(
            "unknown backend {text:?}; expected threaded, evented or auto (did you mean {}?)",
            nearest(text, ["threaded", "evented", "auto"]),
        )),
    }
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text:?} is not a valid count: expected a whole number such as 0 or 64"))
}

/// Parses a number of bytes, as in `262144`, `256KiB` or `8 MiB`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = number_and_unit(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kib" => Some(KIB),
        "mib" => Some(KIB * KIB),
        "gib" => Some(KIB * KIB * KIB),
        _ => None,
    };
    let bytes = factor.and_then(|factor| digits.parse::<usize>().ok()?.checked_mul(factor));
    bytes.ok_or_else(|| {
        format!("{text:?} is not a valid size: expected a number of bytes such as 262144, 256KiB or 8MiB")
    })
}

/// Parses a duration with its unit, as in `500ms`, `10s` or `2min`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = number_and_unit(text);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "min" => Some(60_000),
        _ => None,
    };
    let duration = milliseconds.and_then(|factor| digits.parse::<u64>().ok()?.checked_mul(factor));
    let duration = duration.map(Duration::from_millis);
    duration.ok_or_else(|| {
        format!("{text:?} is not a valid duration: expected a number with a unit such as 500ms, 10s or 2min")
    })
}

/// Checks that the backend accepts the size or, if no backend is chosen, that one of them does.
pub(super) fn stack_size(bytes: usize, backend: Option<BackendChoice>) -> Result<usize, String> {
    let min = match backend {
        None | Some(BackendChoice::Evented) => *TaskOptions::STACK_BYTES.start(),
        // `auto` may fall back to threads.
        Some(BackendChoice::Threaded | BackendChoice::Auto) => iolite_threaded::Options::STACK_SIZE_MIN,
    };
    let backend = backend.map_or_else(String::new, |backend| format!(" with backend = {backend}"));
    in_range(bytes, min).map_err(|fault| fault + &backend)
}

/// Accepts every value.
pub(super) fn any<T>(value: T, _: Option<BackendChoice>) -> Result<T, String> {
    Ok(value)
}

pub(super) fn main_stack_size(bytes: usize, _: Option<BackendChoice>) -> Result<usize, String> {
    in_range(bytes, *TaskOptions::STACK_BYTES.start())
}

fn in_range(bytes: usize, min: usize) -> Result<usize, String> {
    match (min..=*TaskOptions::STACK_BYTES.end()).contains(&bytes) {
        true => Ok(bytes),
        false => Err(format!("{bytes} bytes are out of range: a stack has {}KiB to 1GiB", min / KIB)),
    }
}

pub(super) fn executors(threads: usize, _: Option<BackendChoice>) -> Result<usize, String> {
    match threads {
        1..=EXECUTORS_MAX => Ok(threads),
        _ => Err(format!("{threads} is out of range: expected 1 to {EXECUTORS_MAX} executors")),
    }
}

pub(super) fn offload_limit(threads: usize, _: Option<BackendChoice>) -> Result<usize, String> {
    match threads {
        1..=BLOCKING_MAX => Ok(threads),
        _ => Err(format!("{threads} is out of range: expected 1 to {BLOCKING_MAX} threads")),
    }
}

pub(super) fn lookup_limit(threads: usize, _: Option<BackendChoice>) -> Result<usize, String> {
    match threads {
        1..=BLOCKING_MAX => Ok(threads),
        _ => Err(format!("{threads} is out of range: expected 1 to {BLOCKING_MAX} threads")),
    }
}

pub(super) fn lookup_timeout(timeout: Duration, _: Option<BackendChoice>) -> Result<Duration, String> {
    match timeout {
        Duration::ZERO => Err("0 is out of range: expected a duration above zero".into()),
        _ => Ok(timeout),
    }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}
