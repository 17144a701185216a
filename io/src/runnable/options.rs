//! The options of a task.

use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;

/// Says on which executor a task runs. A task stays there from its first instruction to its last.
///
/// A backend without executors has one place, which counts as executor 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// On the executor with the least to do. Until the task has started, an idle executor may take it.
    #[default]
    Anywhere,
    /// On the executor of the task that starts it, and on no other. Outside of executors, the same as `Anywhere`.
    Here,
    /// On the executor with this number, and on no other. [`Backend::executors`](crate::Backend::executors) returns
    /// their number.
    Executor(usize),
}

/// The options of a task, as its backend reads them ([`Start::options`](crate::backend::Start::options)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskOptions {
    /// The name of the task in reports, and of its thread if it has one for itself.
    pub name: Option<Box<str>>,
    /// The minimum size of the stack in bytes. `None` stands for the backend's own size.
    pub stack_size: Option<usize>,
    /// The executor on which the task runs.
    pub placement: Placement,
}

impl TaskOptions {
    /// The options of a task that asks for nothing.
    pub(crate) const NONE: Self = Self { name: None, stack_size: None, placement: Placement::Anywhere };

    /// The sizes of stacks that a task can ask for on every backend, in bytes. The smallest is enough for a panic with its
    /// message.
    pub const STACK_BYTES: RangeInclusive<usize> = 32 << 10..=1 << 30;

    /// Returns true if the task gets what it asks for when it runs on top of its spawner.
    #[inline]
    pub fn may_run_inline(&self) -> bool {
        self.stack_size.is_none() && !matches!(self.placement, Placement::Executor(_))
    }

    /// Checks that a backend with this number of executors has the executor that the task asks for.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such executor.
    #[inline]
    pub fn check_placement(&self, executors: usize) -> Result<(), InvalidOption> {
        match self.placement {
            Placement::Executor(index) if index >= executors => Err(InvalidOption::Executor { index, executors }),
            _ => Ok(()),
        }
    }

    /// Checks that a backend can have such a stack.
    pub(crate) fn check_stack(&self) -> Result<(), InvalidOption> {
        match self.stack_size {
            Some(bytes) if !Self::STACK_BYTES.contains(&bytes) => Err(InvalidOption::StackSize { bytes }),
            _ => Ok(()),
        }
    }
}

/// An option of a task that cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidOption {
    /// A stack that is too small to run anything, or too large.
    StackSize {
        /// The requested size.
        bytes: usize,
    },
    /// An executor that this backend does not have.
    Executor {
        /// The number of the requested executor, from 0.
        index: usize,
        /// The number of executors.
        executors: usize,
    },
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StackSize { bytes } => {
                let (min, max) = (TaskOptions::STACK_BYTES.start() >> 10, TaskOptions::STACK_BYTES.end() >> 30);
                write!(f, "stack_size = {bytes} is out of range: the stack of a task has {min} KiB to {max} GiB")
            }
            Self::Executor { index, executors } => {
                write!(f, "placement = executor {index} is out of range: executors = {executors}, counted from 0")
            }
        }
    }
}

impl Error for InvalidOption {}
