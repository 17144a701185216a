//! The token that keeps hidden methods out of reach.

/// A value that only this crate can make.
///
/// A trait of the public API has methods that are meant for this crate alone, and generic code can call the methods of
/// every trait that it has as a bound, hidden or not. So each of them asks for a token: whoever cannot name one cannot
/// call the method. No public function hands a token out, and no foreign type can implement a trait whose methods
/// receive one, because each of these traits has a supertrait in a private module.
#[derive(Clone, Copy, Debug)]
pub struct Token(());

pub(crate) const TOKEN: Token = Token(());
