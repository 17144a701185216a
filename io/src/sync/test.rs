//! Which types are `Send` and `Sync`: the compiler is the test.

use std::cell::Cell;

use super::*;

fn sent<T: Send>() {}
fn shared<T: Send + Sync>() {}

#[test]
fn what_is_only_send_can_be_locked_and_handed_over() {
    shared::<Mutex<Cell<u32>>>();
    shared::<ReentrantMutex<Cell<u32>>>();
    sent::<MutexGuard<'_, Cell<u32>>>();
    shared::<mpmc::Sender<Cell<u32>>>();
    shared::<mpmc::Receiver<Cell<u32>>>();
    shared::<oneshot::Sender<Cell<u32>>>();
    shared::<Queue<Cell<u32>>>();
    sent::<RwLock<Cell<u32>>>();
    sent::<OnceLock<Cell<u32>>>();
}

#[test]
fn what_is_shared_has_to_be_sync() {
    shared::<RwLock<u32>>();
    shared::<RwLockReadGuard<'_, u32>>();
    shared::<RwLockWriteGuard<'_, u32>>();
    shared::<OnceLock<u32>>();
    shared::<LazyLock<u32>>();
    shared::<broadcast::Sender<u32>>();
    shared::<broadcast::Receiver<u32>>();
    shared::<watch::Sender<u32>>();
    shared::<watch::Receiver<u32>>();
}

#[test]
fn what_has_no_value_is_shared() {
    shared::<Semaphore>();
    shared::<SemaphorePermit<'_>>();
    shared::<Event>();
    shared::<Notify>();
    shared::<Condvar>();
    shared::<Barrier>();
    shared::<Once>();
}

#[test]
fn a_choice_is_decided_by_what_is_taken_and_takes_nothing_afterwards() {
    let new = || crate::waiting::Choice::new(crate::context::current(|context| context.unparker()));
    let choice = new();
    assert_eq!(choice.decide_if(|| None::<u32>), None);
    assert!(!choice.is_decided(), "nothing was there");
    assert_eq!(choice.decide_if(|| Some(7)), Some(7));
    assert!(choice.is_decided() && !choice.decide());
    let choice = new();
    assert!(choice.decide());
    let took: Option<u32> = choice.decide_if(|| panic!("what it takes now nobody would get"));
    assert_eq!(took, None);
}
