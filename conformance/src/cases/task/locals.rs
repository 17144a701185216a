//! Task-local values.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use iolite_io::fiber_local;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, panic_of, panic_quietly, scope};

pub(crate) const CASES: &[Case] = cases![
    each_task_has_its_own,
    an_inline_task_has_its_own,
    values_are_dropped_before_the_join_returns,
    a_panic_of_a_destructor_is_the_tasks,
    a_value_may_be_made_of_itself_and_of_others,
];

fiber_local! {
    static NUMBER: Cell<usize> = Cell::new(7);
    static NOT_SEND: RefCell<Vec<Rc<usize>>> = RefCell::default();
}

fn each_task_has_its_own(on: &On) {
    on.run(|io| {
        NUMBER.with(|number| number.set(1));
        let sum: usize = scope(io, |group| {
            let task = |own| {
                concurrently(group, move |io| {
                    NUMBER.with(|number| assert_eq!(number.replace(own), 7, "nobody else's"));
                    // Other tasks run in the meantime, on the same thread.
                    (0..10).for_each(|_| io.yield_now());
                    NOT_SEND.with(|values| values.borrow_mut().push(Rc::new(own)));
                    NOT_SEND.with(|values| assert_eq!(values.borrow().len(), 1));
                    NUMBER.with(Cell::get)
                })
            };
            let tasks: Vec<_> = (10..20).map(task).collect();
            tasks.into_iter().map(|task| task.join(io)).sum()
        });
        assert_eq!(sum, (10..20).sum::<usize>());
        assert_eq!(NUMBER.with(Cell::get), 1);
    });
}

fn an_inline_task_has_its_own(on: &On) {
    let on = &on.async_limit(0);
    on.run(|io| {
        NUMBER.with(|number| number.set(1));
        let inline = scope(io, |group| group.spawn_async(|_| NUMBER.with(|number| number.replace(2))).join(io));
        assert_eq!(inline, 7);
        assert_eq!(NUMBER.with(Cell::get), 1);
    });
}

/// Stores its task's number in a place, if it has one, when it is dropped.
#[derive(Default)]
struct Leaves(OnceCell<Arc<AtomicUsize>>);

impl Drop for Leaves {
    fn drop(&mut self) {
        // The task still runs, so it has the values that were made earlier.
        if let Some(place) = self.0.get() {
            place.store(NUMBER.with(Cell::get), Ordering::Relaxed);
        }
    }
}

fn values_are_dropped_before_the_join_returns(on: &On) {
    fiber_local!(static LEAVES: Leaves = Leaves::default());
    on.run(|io| {
        scope(io, |group| {
            let left = Arc::new(AtomicUsize::new(0));
            let place = left.clone();
            let task = concurrently(group, move |_| {
                NUMBER.with(|number| number.set(3));
                LEAVES.with(|leaves| leaves.0.set(place).expect("the first"));
            });
            task.join(io);
            assert_eq!(left.load(Ordering::Relaxed), 3, "the last that was made is dropped first");
        });
    });
}

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic_quietly("a destructor's");
    }
}

fn a_panic_of_a_destructor_is_the_tasks(on: &On) {
    fiber_local!(static PANICS: Panics = Panics);
    on.run(|io| {
        scope(io, |group| {
            let task = concurrently(group, |_| PANICS.with(|_| {}));
            assert_eq!(panic_of(|| task.join(io)), "a destructor's");
            let task = concurrently(group, |_| {
                PANICS.with(|_| {});
                panic_quietly("its own");
            });
            assert_eq!(panic_of(|| task.join(io)), "its own");
        });
    });
}

fn a_value_may_be_made_of_itself_and_of_others(on: &On) {
    fiber_local! {
        static FIRST: usize = NUMBER.with(Cell::get) + 1;
        static AGAIN: usize = if DEPTH.with(|depth| depth.replace(1)) == 0 { AGAIN.with(|again| *again) + 10 } else { 5 };
        static DEPTH: Cell<usize> = Cell::new(0);
    }
    on.run(|io| {
        scope(io, |group| {
            let task = concurrently(group, |_| (FIRST.with(|first| *first), AGAIN.with(|again| *again)));
            assert_eq!(task.join(io), (8, 5), "the one that was there first stays");
        });
    });
}
