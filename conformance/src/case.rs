//! Cases, and the lists of them.

use crate::On;

/// A fact that has to hold on one subject, or on several.
///
/// [`cases!`](macro@crate::cases), [`pairs!`](macro@crate::pairs) and [`whole!`](macro@crate::whole) make lists of them.
#[derive(Debug)]
pub struct Case {
    /// The path of the module that has it.
    module: &'static str,
    /// Its function, with the arguments that are not subjects.
    call: &'static str,
    pub(crate) body: Body,
}

/// The function of a case, and on what it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// On each subject.
    One(fn(&On)),
    /// On each pair of subjects, in either order, and on each subject with itself.
    Two(fn(&On, &On)),
    /// Once, if all subjects are there.
    All(fn()),
}

impl Case {
    /// A case that runs on each subject.
    ///
    /// It is named `module::call`; of the path of the module only the last part counts.
    #[must_use]
    pub const fn on_each(module: &'static str, call: &'static str, body: fn(&On)) -> Self {
        Self { module, call, body: Body::One(body) }
    }

    /// A case that runs on each pair of subjects, in either order, and on each subject with itself.
    #[must_use]
    pub const fn on_pairs(module: &'static str, call: &'static str, body: fn(&On, &On)) -> Self {
        Self { module, call, body: Body::Two(body) }
    }

    /// A case that runs once, if all subjects are there, and makes its runtimes by itself.
    #[must_use]
    pub const fn on_all(module: &'static str, call: &'static str, body: fn()) -> Self {
        Self { module, call, body: Body::All(body) }
    }

    /// `module::function` or `module::function(arguments)`.
    pub(crate) fn name(&self) -> String {
        let module = self.module.rsplit("::").next().unwrap_or_default();
        format!("{module}::{}", self.call.replace(char::is_whitespace, ""))
    }
}

/// A list of cases that run on each subject: functions of a `&On`, with their other arguments where they have some. A
/// case that is in no list is dead code.
///
/// ```
/// use iolite_conformance::{Case, On, cases};
///
/// const CASES: &[Case] = cases![sums_are_right(1, 2), nothing_is_free];
///
/// fn sums_are_right(on: &On, one: i32, other: i32) {
///     on.run(|_| assert_eq!(one + other, 3));
/// }
///
/// fn nothing_is_free(on: &On) {
///     on.run(|io| io.yield_now());
/// }
/// ```
#[macro_export]
macro_rules! cases {
    ($($case:ident $(($($argument:expr),+))?),+ $(,)?) => {
        &[$($crate::Case::on_each(
            module_path!(),
            stringify!($case $(($($argument),+))?),
            |on| $case(on $($(, $argument)+)?),
        )),+]
    };
}

/// The same of functions of two `&On`, which run on each pair of subjects.
#[macro_export]
macro_rules! pairs {
    ($($case:ident $(($($argument:expr),+))?),+ $(,)?) => {
        &[$($crate::Case::on_pairs(
            module_path!(),
            stringify!($case $(($($argument),+))?),
            |one, other| $case(one, other $($(, $argument)+)?),
        )),+]
    };
}

/// The same of functions without an `On`, which run once, if all subjects are there, and make their runtimes by
/// themselves.
#[macro_export]
macro_rules! whole {
    ($($case:ident $(($($argument:expr),+))?),+ $(,)?) => {
        &[$($crate::Case::on_all(
            module_path!(),
            stringify!($case $(($($argument),+))?),
            || $case($($($argument),+)?),
        )),+]
    };
}

pub(crate) use crate::{cases, pairs};
