//! Models of the messages that other threads leave for an executor, and of its sleep. Loom runs `remote/sleep.rs` and
//! `remote/messages.rs` of this crate, and `context/wake_stack.rs` and `backend/closing.rs` of the vocabulary, through
//! every interleaving. A lost wake-up shows as an executor that sleeps for ever.
#![allow(unsafe_code)]

#[path = "../../io/src/backend/closing.rs"]
#[allow(dead_code, unreachable_pub)]
mod closing;
#[path = "../src/remote/messages.rs"]
#[allow(dead_code)]
mod messages;
#[path = "../../io/tests/support/loom_primitive.rs"]
mod primitive;
#[path = "../src/remote/sleep.rs"]
#[allow(dead_code)]
mod sleep;
#[path = "../../io/src/context/wake_stack.rs"]
#[allow(dead_code, unreachable_pub)]
mod wake_stack;

mod context {
    use crate::primitive::AtomicPtr;

    /// A wake block of the model, which is never woken twice. It is leaked, as wake blocks are.
    #[derive(Debug)]
    pub(crate) struct WakeBlock {
        pub(crate) next: AtomicPtr<WakeBlock>,
    }

    impl WakeBlock {
        pub(crate) fn leak() -> &'static Self {
            Box::leak(Box::new(Self { next: AtomicPtr::new(std::ptr::null_mut()) }))
        }

        pub(crate) fn woken(&self) {}
    }
}

use std::sync::Arc;

use closing::Closing;
use context::WakeBlock;
use loom::sync::Notify;
use loom::thread;
use messages::{Answer, Linked, Messages};
use primitive::{AtomicBool, AtomicPtr, Guarded, Ordering, explore};
use sleep::Sleep;
use wake_stack::WakeStack;

/// The operation of another thread.
#[derive(Debug)]
struct Message {
    next: AtomicPtr<Message>,
    answer: Answer,
    /// The rest of the operation: it belongs to the sender, then to the executor, then to the sender again.
    rest: Guarded,
}

impl Message {
    fn new() -> Self {
        let message =
            Self { next: AtomicPtr::new(std::ptr::null_mut()), answer: Answer::default(), rest: Guarded::new() };
        message.rest.write();
        message
    }
}

impl Linked for Message {
    fn next(&self) -> &AtomicPtr<Self> {
        self.rest.read();
        &self.next
    }
}

/// The part of an executor that other threads see, as in `executor/remote.rs`.
struct Remote {
    sleep: Sleep,
    woken: WakeStack,
    messages: Messages<Message>,
    closing: Closing,
    /// Stands for the eventfd. It counts, so no waiter misses it.
    event: Notify,
}

impl Remote {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sleep: Sleep::default(),
            woken: WakeStack::default(),
            messages: Messages::default(),
            closing: Closing::default(),
            event: Notify::new(),
        })
    }

    fn wake(&self) {
        if self.sleep.end_for_waker() {
            self.event.notify();
        }
    }

    /// Sleeps, unless there is already something that it looks for.
    fn sleep(&self, has_left: fn(&Self) -> bool) {
        if !self.sleep.begin(|| has_left(self)) {
            return;
        }
        self.event.wait();
        // The event may have been signaled for the previous sleep.
        self.sleep.end();
    }
}

#[test]
fn a_block_that_is_woken_wakes_the_executor() {
    explore(3, || {
        let remote = Remote::new();
        let waker = {
            let remote = remote.clone();
            thread::spawn(move || {
                remote.woken.push(WakeBlock::leak());
                remote.wake();
            })
        };
        let mut woken = 0;
        while woken == 0 {
            remote.sleep(|remote| !remote.woken.is_empty());
            remote.woken.drain(|_| woken += 1);
        }
        waker.join().unwrap();
    });
}

#[test]
fn a_message_wakes_the_executor_and_comes_back_with_its_result() {
    explore(3, || {
        let remote = Remote::new();
        let sender = {
            let remote = remote.clone();
            thread::spawn(move || {
                let message = Message::new();
                // SAFETY: it stays until it has its result.
                unsafe { remote.messages.push(&message) };
                remote.wake();
                let result = loop {
                    if let Some(result) = message.answer.get() {
                        break result;
                    }
                    thread::yield_now();
                };
                message.rest.write();
                result
            })
        };
        let mut submitted = 0;
        while submitted == 0 {
            remote.sleep(|remote| !remote.messages.is_empty());
            remote.messages.drain(|message| {
                message.rest.write();
                message.answer.give(7);
                submitted += 1;
            });
        }
        assert_eq!(sender.join().unwrap(), 7);
    });
}

#[test]
fn messages_of_two_threads_come_each_once() {
    explore(2, || {
        let remote = Remote::new();
        let senders = [0, 1].map(|_| {
            let remote = remote.clone();
            thread::spawn(move || {
                let message = Box::leak(Box::new(Message::new()));
                // SAFETY: it is leaked.
                unsafe { remote.messages.push(message) };
                remote.wake();
            })
        });
        let mut submitted = 0;
        while submitted < 2 {
            remote.sleep(|remote| !remote.messages.is_empty());
            remote.messages.drain(|message| {
                message.rest.write();
                submitted += 1;
            });
        }
        assert!(remote.messages.is_empty());
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn the_end_of_the_runtime_wakes_the_executor() {
    explore(3, || {
        let remote = Remote::new();
        let closing = {
            let remote = remote.clone();
            thread::spawn(move || {
                remote.closing.begin();
                remote.wake();
            })
        };
        while !remote.closing.has_begun() {
            remote.sleep(|remote| remote.closing.has_begun());
        }
        closing.join().unwrap();
    });
}

/// Here the event orders no memory accesses; the end of the sleep does.
#[test]
fn who_was_woken_sees_what_was_left() {
    explore(3, || {
        let shared = Arc::new((Sleep::default(), AtomicBool::new(false)));
        assert!(shared.0.begin(|| false));
        let waker = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(true, Ordering::Relaxed);
                let _ = shared.0.end_for_waker();
            })
        };
        if shared.0.end() {
            assert!(shared.1.load(Ordering::Relaxed));
        }
        waker.join().unwrap();
    });
}

/// Two threads leave something, and one of them signals the event.
#[test]
fn one_of_two_wakers_rings() {
    explore(3, || {
        let sleep = Arc::new(Sleep::default());
        assert!(sleep.begin(|| false));
        let other = {
            let sleep = sleep.clone();
            thread::spawn(move || sleep.end_for_waker())
        };
        let rings = [sleep.end_for_waker(), other.join().unwrap()];
        assert_ne!(rings[0], rings[1]);
        assert!(sleep.end());
    });
}
