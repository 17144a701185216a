//! Cases, and the lists of them.

use crate::On;

/// A fact that has to hold on one subject, or on several.
///
/// [`cases!`](macro@crate::cases), [`pairs!`](macro@crate::pairs) and [`whole!`](macro@crate::whole) make lists of them.
#[derive(Debug)]
pub struct Case {
    /// The path of the module that contains it.
    module: &'static str,
    /// The name of its function, with the arguments that are not subjects.
    call: &'static str,
    pub(crate) body: Body,
}

/// The function of a case, by the subjects on which it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Runs on each subject.
    One(fn(&On)),
    /// Runs on each pair of subjects, in either order, and on each subject with itself.
    Two(fn(&On, &On)),
    /// Runs once, if all subjects are available.
    All(fn()),
}

impl Case {
    /// Makes a case that runs on each subject.
    ///
    /// It is named `module::call`, where `module` is the last part of the module's path.
    #[must_use]
    pub const fn on_each(module: &'static str, call: &'static str, body: fn(&On)) -> Self {
        Self { module, call, body: Body::One(body) }
    }

    /// Makes a case that runs on each pair of subjects, in either order, and on each subject with itself.
    #[must_use]
    pub const fn on_pairs(module: &'static str, call: &'static str, body: fn(&On, &On)) -> Self {
        Self { module, call, body: Body::Two(body) }
    }

    /// Makes a case that runs once, if all subjects are available, and that makes its runtimes by itself.
    #[must_use]
    pub const fn on_all(module: &'static str, call: &'static str, body: fn()) -> Self {
        Self { module, call, body: Body::All(body) }
    }

    /// Returns `module::function` or `module::function(arguments)`.
    pub(crate) fn name(&self) -> String {
        let module = self.module.rsplit("::").next().unwrap_or_default();
        format!("{module}::{}", self.call.replace(char::is_whitespace, ""))
    }
}

/// Makes a list of cases that run on each subject: functions of an `&On`, with their other arguments if they have any.
/// A case that is in no list is dead code.
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

/// Makes a list of functions of two `&On`, which run on each pair of subjects.
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

/// Makes a list of functions without an `On`, which run once, if all subjects are available, and make their runtimes by
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
