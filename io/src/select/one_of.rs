//! The output of one of several sources.

use super::Selectable;
use super::sealed::{Arm, Arms};
use crate::Io;
use crate::sealed::Token;

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

        impl<$($source: Arms),+> Arms for ($($source,)+) {
            fn count(&self, token: Token) -> usize {
                0 $(+ self.$index.count(token))+
            }

            #[inline]
            fn poll_all(&self, io: &dyn Io, token: Token) -> Option<usize> {
                let before = 0;
                $(
                    if let Some(arm) = self.$index.poll_all(io, token) {
                        return Some(before + arm);
                    }
                    let before = before + self.$index.count(token);
                )+
                let _ = before;
                None
            }

            fn visit(&self, visitor: &mut dyn FnMut(&dyn Arm) -> bool, token: Token) -> bool {
                false $(|| self.$index.visit(visitor, token))+
            }
        }

        impl<$($source: Selectable),+> Selectable for ($($source,)+) {
            type Output = $name<$($source::Output),+>;

            fn output(self, arm: usize, io: &dyn Io, token: Token) -> Self::Output {
                let before = 0;
                $(
                    let after = before + self.$index.count(token);
                    if arm < after {
                        return $name::$place(self.$index.output(arm - before, io, token));
                    }
                    let before = after;
                )+
                unreachable!("there are {before} arms, and none with number {arm}")
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
