//! The switch between a thread's stack and that of a coroutine.
//!
//! A [`Switch`] is a stack with the context that is saved on it. `resume` switches to it, and `suspend` switches back
//! to the code that resumed it.
//!
//! On x86-64 the switch is ours: it is inlined on both sides and leaves by a jump. A switch that calls and returns, as
//! corosensei's does, is paid for twice. The processor predicts that a `ret` returns to the last `call`, but after a
//! switch the last call was made on another stack. So the frames around each suspension are mispredicted, which costs
//! some 15 ns per pair of switches. On other architectures, and with the feature `portable-switch`, which sanitizers
//! need, the switch is corosensei's.

#[cfg(any(feature = "portable-switch", not(target_arch = "x86_64")))]
mod portable;
#[cfg(not(any(feature = "portable-switch", not(target_arch = "x86_64"))))]
mod x86_64;

#[cfg(any(feature = "portable-switch", not(target_arch = "x86_64")))]
pub(crate) use portable::Switch;
#[cfg(not(any(feature = "portable-switch", not(target_arch = "x86_64"))))]
pub(crate) use x86_64::Switch;

/// The function that runs on a coroutine, with the pointer that the coroutine was made with. It must not unwind: that
/// would end the process.
pub type Main = unsafe fn(*const ());

#[cfg(test)]
mod tests {
    #![allow(unsafe_code)]

    use std::cell::{Cell, RefCell};
    use std::panic::catch_unwind;
    use std::ptr;

    use super::Switch;
    use crate::class::StackClass;
    use crate::stack::Stack;

    #[derive(Default)]
    struct Shared {
        switch: RefCell<Option<Box<Switch>>>,
        log: RefCell<Vec<u32>>,
        sum: Cell<f64>,
    }

    impl Shared {
        fn suspend(&self) {
            let switch = ptr::from_ref(&**self.switch.borrow().as_ref().expect("made"));
            // SAFETY: the code on the switch calls this; the box stays in place.
            unsafe { (*switch).suspend() };
        }

        fn resume(&self) {
            let switch = ptr::from_ref(&**self.switch.borrow().as_ref().expect("made"));
            // SAFETY: nobody runs on it, and it has not ended.
            unsafe { (*switch).resume() };
        }
    }

    /// # Safety
    ///
    /// `shared` points to a `Shared`.
    unsafe fn main(shared: *const ()) {
        // SAFETY: `Switch::new` was given a pointer to a `Shared`, which the test keeps until the switch has ended.
        let shared = unsafe { &*shared.cast::<Shared>() };
        for step in 0..3 {
            shared.log.borrow_mut().push(step);
            // Values in registers of every class have to survive the switch.
            let (a, b) = (f64::from(step) + 0.5, f64::from(step) * 3.0);
            shared.suspend();
            shared.sum.set(shared.sum.get() + a * b);
            assert!(catch_unwind(|| std::panic::resume_unwind(Box::new(step))).is_err());
        }
    }

    #[test]
    fn a_stack_takes_turns_with_the_one_that_resumes_it_and_ends() {
        let shared = Shared::default();
        let stack = Stack::take(StackClass::of(64 * 1024)).unwrap();
        *shared.switch.borrow_mut() = Some(Box::new(Switch::new(stack, main, ptr::from_ref(&shared).cast())));
        for turn in 0..4 {
            shared.log.borrow_mut().push(100 + turn);
            shared.resume();
        }
        assert_eq!(*shared.log.borrow(), [100, 0, 101, 1, 102, 2, 103]);
        assert_eq!(shared.sum.get(), 0.0 + 1.5 * 3.0 + 2.5 * 6.0);
        let switch = shared.switch.take().expect("made");
        Stack::give_back([(*switch).into_stack().expect("ended")]);
    }

    #[test]
    fn a_stack_that_never_ran_keeps_to_itself() {
        let switch = Switch::new(Stack::take(StackClass::of(64 * 1024)).unwrap(), main, ptr::null());
        assert!(switch.into_stack().is_none(), "what is on the stack has not ended");
    }
}
