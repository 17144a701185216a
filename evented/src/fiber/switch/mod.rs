//! The switch between an executor's stack and that of a fiber.
//!
//! A [`Strand`] is a stack with the context that is saved on it. `resume` goes to it, `suspend`
//! back to whoever resumed it.
//!
//! On x86-64 the switch is ours: inlined on both sides, it leaves by a jump. A switch that calls and
//! returns, as corosensei's does, is paid twice: the processor predicts that a `ret` goes to the
//! last `call`, which after a switch was made on another stack, so that the frames around each
//! suspension are mispredicted, some 15 ns per pair of switches. On other architectures, and with
//! the feature `portable-switch`, which sanitizers need, it is corosensei's.

#[cfg(any(feature = "portable-switch", not(target_arch = "x86_64")))]
mod portable;
#[cfg(not(any(feature = "portable-switch", not(target_arch = "x86_64"))))]
mod x86_64;

#[cfg(any(feature = "portable-switch", not(target_arch = "x86_64")))]
pub(super) use portable::Strand;
#[cfg(not(any(feature = "portable-switch", not(target_arch = "x86_64"))))]
pub(super) use x86_64::Strand;

/// What runs on a strand, with the pointer that it was made with. Must not unwind.
pub(super) type Main = unsafe fn(*const ());

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::panic::catch_unwind;
    use std::ptr;

    use super::Strand;
    use crate::fiber::stack::{FiberStack, SizeClass};

    #[derive(Default)]
    struct Shared {
        strand: RefCell<Option<Box<Strand>>>,
        log: RefCell<Vec<u32>>,
        sum: Cell<f64>,
    }

    impl Shared {
        fn suspend(&self) {
            let strand = ptr::from_ref(&**self.strand.borrow().as_ref().expect("made"));
            // SAFETY: called by what runs on the strand; the box stays where it is.
            unsafe { (*strand).suspend() };
        }

        fn resume(&self) {
            let strand = ptr::from_ref(&**self.strand.borrow().as_ref().expect("made"));
            // SAFETY: nobody runs on it; it has not ended.
            unsafe { (*strand).resume() };
        }
    }

    /// # Safety
    ///
    /// `shared` points to a `Shared`.
    unsafe fn main(shared: *const ()) {
        // SAFETY: `Strand::new` was given a pointer to a `Shared`, which the test keeps until the strand has ended.
        let shared = unsafe { &*shared.cast::<Shared>() };
        for step in 0..3 {
            shared.log.borrow_mut().push(step);
            // Values in registers of every class live across the switch.
            let (a, b) = (f64::from(step) + 0.5, f64::from(step) * 3.0);
            shared.suspend();
            shared.sum.set(shared.sum.get() + a * b);
            assert!(catch_unwind(|| std::panic::resume_unwind(Box::new(step))).is_err());
        }
    }

    #[test]
    fn a_strand_takes_turns_with_whoever_resumes_it_and_ends() {
        let shared = Shared::default();
        let stack = FiberStack::take(SizeClass::of(64 * 1024)).unwrap();
        *shared.strand.borrow_mut() = Some(Box::new(Strand::new(stack, main, ptr::from_ref(&shared).cast())));
        for turn in 0..4 {
            shared.log.borrow_mut().push(100 + turn);
            shared.resume();
        }
        assert_eq!(*shared.log.borrow(), [100, 0, 101, 1, 102, 2, 103]);
        assert_eq!(shared.sum.get(), 0.0 + 1.5 * 3.0 + 2.5 * 6.0);
        let strand = shared.strand.take().expect("made");
        // SAFETY: it has ended, as the log says.
        unsafe { FiberStack::give_back(vec![(*strand).into_stack().expect("ended")]) };
    }

    #[test]
    fn a_strand_that_never_ran_keeps_its_stack_to_itself() {
        let strand = Strand::new(FiberStack::take(SizeClass::of(64 * 1024)).unwrap(), main, ptr::null());
        assert!(strand.into_stack().is_none(), "what is on the stack has not ended");
    }
}
