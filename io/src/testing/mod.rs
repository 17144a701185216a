//! For tests of programs: `Io`s on which things go wrong.
//!
//! [`Failing`] performs nothing: what does a program do when everything fails? [`Faulty`], around any
//! other `Io`, makes some of its operations fail, fall short or come late, and cancels tasks, as a
//! seed says: does a program lose something when anything may happen?

mod errors;
mod failing;
mod faults;
mod faulty;

pub use failing::Failing;
pub use faults::{Faults, Injected};
pub use faulty::Faulty;
