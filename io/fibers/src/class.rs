//! Sizes of stacks.

use std::ops::RangeInclusive;

/// The factor by which the frames of a program exceed its own estimate: a sanitizer surrounds each variable.
const FRAME_FACTOR: usize = if cfg!(feature = "sanitizer") { 4 } else { 1 };

/// A size class of stacks: a power of two of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackClass(u32);

impl StackClass {
    /// The possible sizes of a stack, in bytes.
    pub const BYTES: RangeInclusive<usize> = 32 << 10..=1 << 30;

    const MIN_LOG2: u32 = Self::BYTES.start().trailing_zeros();

    /// The number of classes.
    pub const COUNT: usize = (Self::BYTES.end().trailing_zeros() - Self::MIN_LOG2 + 1) as usize;

    /// Returns the smallest class whose stacks have at least `bytes` bytes. Under a sanitizer, which makes frames
    /// larger, it returns the class for four times as many bytes.
    ///
    /// # Panics
    ///
    /// If `bytes` is not in [`BYTES`](Self::BYTES).
    pub fn of(bytes: usize) -> Self {
        assert!(Self::BYTES.contains(&bytes), "a stack of {bytes} bytes: expected {:?}", Self::BYTES);
        Self::of_exactly((bytes * FRAME_FACTOR).min(*Self::BYTES.end()))
    }

    /// Returns the smallest class with at least this number of bytes, which must be in `BYTES`.
    pub(crate) fn of_exactly(bytes: usize) -> Self {
        Self(bytes.next_power_of_two().trailing_zeros() - Self::MIN_LOG2)
    }

    /// Returns all classes, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::COUNT).map(Self)
    }

    /// Returns the index of the class in a table of all classes.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the size of the class's stacks in bytes, without their guards.
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
