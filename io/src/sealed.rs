//! The token that keeps other crates from calling hidden methods.

/// A value that only this crate can make.
///
/// A trait of the public API has methods that are meant for this crate alone, and generic code can call the methods of
/// every trait that it has as a bound, hidden or not. So each of these methods requires a token, and code that cannot
/// name one cannot call the method. No public function returns a token, and no foreign type can implement a trait whose
/// methods receive one, because each of these traits has a supertrait in a private module.
#[derive(Clone, Copy, Debug)]
pub struct Token(());

pub(crate) const TOKEN: Token = Token(());
