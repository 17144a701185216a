//! Cases, and the lists of them.

use crate::On;

/// What has to hold on a subject, or on a pair of them.
pub(crate) struct Case {
    /// The path of the module that has it.
    pub(crate) module: &'static str,
    /// Its function, with the arguments that are not subjects.
    pub(crate) call: &'static str,
    pub(crate) body: Body,
}

/// What a case is run with.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// Each subject.
    One(fn(&On)),
    /// Each pair of subjects, in either order, and each subject with itself.
    Two(fn(&On, &On)),
}

impl Case {
    /// `module::function` or `module::function(arguments)`.
    pub(crate) fn name(&self) -> String {
        let module = self.module.rsplit("::").next().unwrap_or_default();
        format!("{module}::{}", self.call.replace(char::is_whitespace, ""))
    }
}

/// A list of cases: functions of a `&On`, with their other arguments where they have some. A case that is in no list
/// is dead code.
macro_rules! cases {
    ($($case:ident $(($($argument:expr),+))?),+ $(,)?) => {
        &[$($crate::case::Case {
            module: module_path!(),
            call: stringify!($case $(($($argument),+))?),
            body: $crate::case::Body::One(|on| $case(on $($(, $argument)+)?)),
        }),+]
    };
}

/// The same of functions of two `&On`.
macro_rules! pairs {
    ($($case:ident $(($($argument:expr),+))?),+ $(,)?) => {
        &[$($crate::case::Case {
            module: module_path!(),
            call: stringify!($case $(($($argument),+))?),
            body: $crate::case::Body::Two(|one, other| $case(one, other $($(, $argument)+)?)),
        }),+]
    };
}

pub(crate) use {cases, pairs};
