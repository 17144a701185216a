//! One of several outputs.

use super::sealed::{Arm, Arms};
use super::{Source, Sources};
use crate::Io;

macro_rules! one_of {
    ($name:ident, $count:literal: $($source:ident $place:ident $index:tt),+) => {
        #[doc = concat!("The output of one of ", $count, " sources, by its place.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name<$($source),+> {
            $(
                #[doc = concat!("Of the ", stringify!($place), ".")]
                $place($source),
            )+
        }

        impl<$($source: Arm),+> Arms for ($($source,)+) {
            fn arm(&self, index: usize) -> Option<&dyn Arm> {
                match index {
                    $($index => Some(&self.$index),)+
                    _ => None,
                }
            }
        }

        impl<$($source: Source),+> Sources for ($($source,)+) {
            type Output = $name<$($source::Output),+>;

            fn output(self, index: usize, io: &dyn Io) -> Self::Output {
                match index {
                    $($index => $name::$place(self.$index.output(io)),)+
                    _ => unreachable!("there is no source {index}"),
                }
            }
        }
    };
}

one_of!(OneOf2, "two": A First 0, B Second 1);
one_of!(OneOf3, "three": A First 0, B Second 1, C Third 2);
one_of!(OneOf4, "four": A First 0, B Second 1, C Third 2, D Fourth 3);
one_of!(OneOf5, "five": A First 0, B Second 1, C Third 2, D Fourth 3, E Fifth 4);
one_of!(OneOf6, "six": A First 0, B Second 1, C Third 2, D Fourth 3, E Fifth 4, F Sixth 5);
one_of!(OneOf7, "seven": A First 0, B Second 1, C Third 2, D Fourth 3, E Fifth 4, F Sixth 5, G Seventh 6);
one_of!(OneOf8, "eight": A First 0, B Second 1, C Third 2, D Fourth 3, E Fifth 4, F Sixth 5, G Seventh 6, H Eighth 7);
