//! Sizes of stacks.

use std::ops::RangeInclusive;

/// How much larger the frames of a program are than it reckons with: a sanitizer surrounds each variable.
const FRAME_FACTOR: usize = if cfg!(feature = "sanitizer") { 4 } else { 1 };

/// A size of stacks: a power of two of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackClass(u32);

impl StackClass {
    /// How large a stack can be, in bytes.
    pub const BYTES: RangeInclusive<usize> = 32 << 10..=1 << 30;

    const MIN_LOG2: u32 = Self::BYTES.start().trailing_zeros();

    /// How many classes there are.
    pub const COUNT: usize = (Self::BYTES.end().trailing_zeros() - Self::MIN_LOG2 + 1) as usize;

    /// The smallest class whose stacks have at least `bytes` bytes. Under a sanitizer, which makes frames larger, that is
    /// the class of four times as many.
    ///
    /// # Panics
    ///
    /// When `bytes` is not in [`BYTES`](Self::BYTES).
    pub fn of(bytes: usize) -> Self {
        assert!(Self::BYTES.contains(&bytes), "a stack of {bytes} bytes: expected {:?}", Self::BYTES);
        Self::of_exactly((bytes * FRAME_FACTOR).min(*Self::BYTES.end()))
    }

    /// The smallest class with at least so many bytes, which are in `BYTES`.
    pub(crate) fn of_exactly(bytes: usize) -> Self {
        Self(bytes.next_power_of_two().trailing_zeros() - Self::MIN_LOG2)
    }

    /// All classes, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::COUNT).map(Self)
    }

    /// Its place in a table of all classes.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// How many bytes its stacks have, without their guards.
    pub fn bytes(self) -> usize {
        1 << (self.0 + Self::MIN_LOG2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_next_power_of_two() {
        let class_bytes = |bytes| StackClass::of_exactly(bytes).bytes();
        assert_eq!(class_bytes(32 << 10), 32 << 10);
        assert_eq!(class_bytes((32 << 10) + 1), 64 << 10);
        assert_eq!(class_bytes(300 << 10), 512 << 10);
        assert_eq!(class_bytes(1 << 30), 1 << 30);
        assert_eq!(StackClass::of(1 << 30).index(), StackClass::COUNT - 1);
        assert!(StackClass::all().enumerate().all(|(index, class)| class.index() == index));
    }
}
