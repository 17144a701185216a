//! `Io`s on which things go wrong, for tests of programs.
//!
//! [`Failing`] performs nothing; it shows what a program does when everything fails. [`Faulty`], around any
//! other `Io`, makes some of its operations fail, fall short or come late, and cancels tasks, at random from a
//! seed; it shows whether a program loses something when anything may happen.

mod errors;
mod failing;
mod faults;
mod faulty;

pub use failing::Failing;
pub use faults::{Faults, Injected};
pub use faulty::Faulty;
