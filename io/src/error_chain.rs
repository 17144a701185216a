//! Printing an error with all its causes in one line.
//!
//! One rule holds for every error type of the workspace: `Display` describes this level only,
//! [`source`](std::error::Error::source) is the next one, and no text is repeated. A type that only passes another
//! error on (an enum of errors, an error with the value that could not be handed over) is not a level of its own: it
//! has the `Display` and the `source` of the error that it holds. To show an error to a user, print the chain.

use std::error::Error;
use std::fmt;

/// Prints an error and its [sources](std::error::Error::source), from the outermost to the innermost, with `: ` between
/// them.
///
/// The `Display` of an error describes one level, as has been usual since `source` exists. For example, the error of a
/// `write_all` says how far it came, and the broken pipe is its source. Print this chain to show the error to a user.
///
/// ```
/// use iolite_io::ErrorChain;
///
/// let error = std::io::Error::other(iolite_io::TimedOut);
/// assert_eq!(ErrorChain::new(&error).to_string(), "timed out");
/// ```
///
/// Errors of other crates may repeat their source in their own text. A source that already stands at the end of the
/// text before it is not repeated.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(&'a (dyn Error + 'a));

impl<'a> ErrorChain<'a> {
    /// Makes the chain that begins with `error`.
    pub fn new(error: &'a (dyn Error + 'a)) -> Self {
        Self(error)
    }
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        f.write_str(&told)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !told.ends_with(&text) {
                write!(f, ": {text}")?;
                told = text;
            }
            next = error.source();
        }
        Ok(())
    }
}

/// An error with which a program or a maker may fail, whose [sources](std::error::Error::source) can be printed.
///
/// It is implemented for all types that implement [`Error`], for texts, for `Box<dyn Error>` with or without `Send` and
/// `Sync`, and for the errors of `anyhow` and `eyre`. `Via` says which of two conversions is used; it is always
/// inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no error",
    note = "it has to implement `std::error::Error`, or to convert into `Box<dyn std::error::Error>`"
)]
pub trait IntoError<Via> {
    /// Returns the error.
    fn into_error(self) -> Box<dyn Error>;
}

/// The conversion of [`IntoError`] for types that std converts.
#[derive(Debug)]
pub struct ByConversion;

/// The conversion of [`IntoError`] for boxes that std does not convert, because it would only have to drop `Send` and
/// `Sync`.
#[derive(Debug)]
pub struct ByForgetting;

impl<E: Into<Box<dyn Error>>> IntoError<ByConversion> for E {
    fn into_error(self) -> Box<dyn Error> {
        self.into()
    }
}

impl IntoError<ByForgetting> for Box<dyn Error + Send + Sync> {
    fn into_error(self) -> Box<dyn Error> {
        self
    }
}

#[cfg(test)]
mod test {
    use std::io;

    use super::*;

    /// An error of another crate.
    #[derive(Debug)]
    struct Level(&'static str, Option<Box<Level>>);

    impl fmt::Display for Level {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Level {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|level| level as _)
        }
    }

    fn chain(levels: &[&'static str]) -> String {
        let error = levels.iter().rev().fold(None, |below, text| Some(Box::new(Level(text, below))));
        ErrorChain::new(&*error.expect("there is a level")).to_string()
    }

    #[test]
    fn every_level_is_said_once() {
        assert_eq!(chain(&["one"]), "one");
        assert_eq!(chain(&["one", "two", "three"]), "one: two: three");
        assert_eq!(chain(&["one: two: three", "two: three", "three"]), "one: two: three");
        assert_eq!(chain(&["one: two", "two", "three"]), "one: two: three");
        assert_eq!(chain(&["two is what comes", "two"]), "two is what comes: two");
    }

    #[test]
    fn whatever_is_usual_in_a_main_is_an_error() {
        fn text<V>(error: impl IntoError<V>) -> String {
            ErrorChain::new(&*error.into_error()).to_string()
        }
        assert_eq!(text("a text"), "a text");
        assert_eq!(text(String::from("a text")), "a text");
        assert_eq!(text(io::Error::other("a text")), "a text");
        assert_eq!(text(Box::<dyn Error>::from("a text")), "a text");
        assert_eq!(text(Box::<dyn Error + Send + Sync>::from("a text")), "a text");
    }
}
