//! Operations for fibers of other backends, whose executors must not block.

use std::io;

use iolite_io::backend::{Context, explained};
use iolite_io::{
    Canceled, Io, SpawnError, SpawnErrorKind,
    error::ShutDown,
    operation::{Operation, Output},
};

/// Performs the operation on a worker while the fiber waits for it.
///
/// It runs as a member of a group, and the group does all that is needed: it copies requests to the fiber to the
/// worker, passes the fiber's timeouts on, and does not return what the operation borrows before the worker has ended.
pub(crate) fn perform(io: &dyn Io, context: &Context, operation: Operation<'_>) -> io::Result<Output> {
    let result = io.group(|group| match group.spawn_concurrent(move |io| io.operate(operation)) {
        Ok(member) => member.join(io),
        // The values that the operation owns, such as a descriptor to be closed, are dropped and thereby closed.
        Err(SpawnError { kind: SpawnErrorKind::ShutDown(over), .. }) => Err(over.into()),
        Err(refused) => {
            let (backend, caller) = (io.backend(), context.backend_name());
            let message = format!("{backend} has no thread to perform an operation for {caller}");
            Err(explained(io::ErrorKind::WouldBlock, message, refused.kind))
        }
    });
    match result {
        // The worker got a copy of the request; the fiber's own request is delivered here, once.
        Err(error) if Canceled::is_in(&error) => {
            context.check(io)?;
            // The fiber was not canceled, so the shutdown has canceled the worker.
            Err(ShutDown.into())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code)]

    use std::io;
    use std::rc::Rc;
    use std::sync::{Condvar, Mutex};
    use std::thread;
    use std::time::Duration;

    use iolite_io::backend::{Context, Park, Wake, WakeBlock, monotonic_now, set_current};
    use iolite_io::fs::OpenOptions;
    use iolite_io::net::{TcpListener, TcpStream};
    use iolite_io::{Canceled, ErrorChain, Instant, OwnedGroup};

    use crate::test::threaded;

    /// Parks as an executor would, so that a thread can act as a fiber.
    #[derive(Debug, Default)]
    struct Executor {
        lock: Mutex<()>,
        wake: Condvar,
    }

    impl Wake for Executor {
        fn wake(&self, block: &'static WakeBlock) {
            block.woken();
            let _lock = self.lock.lock().unwrap();
            self.wake.notify_all();
        }
    }

    impl Park for &'static Executor {
        fn park(&self, block: &'static WakeBlock, deadline: Option<Instant>) {
            if !block.begin_park() {
                return;
            }
            let mut lock = self.lock.lock().unwrap();
            while !block.is_notified() && deadline.is_none_or(|deadline| deadline > monotonic_now()) {
                let rest = deadline.map_or(Duration::from_secs(3600), |deadline| deadline - monotonic_now());
                lock = self.wake.wait_timeout(lock, rest).unwrap().0;
            }
            drop(lock);
            block.end_park();
        }

        fn yield_now(&self, _block: &'static WakeBlock) {}

        fn is_thread(&self) -> bool {
            false
        }

        fn backend_name(&self) -> &'static str {
            "pretended(1 fiber)"
        }
    }

    /// Runs `f` in a context that is not a thread.
    fn on_a_fiber<T>(f: impl FnOnce() -> T) -> T {
        let executor: &'static Executor = Box::leak(Box::default());
        let context = Context::new(WakeBlock::leak(executor), Rc::new(executor));
        // SAFETY: the context is alive until the previous one is set again.
        let previous = unsafe { set_current(&context) };
        let result = f();
        // SAFETY: it was current before.
        unsafe { set_current(previous) };
        result
    }

    #[test]
    fn operations_are_performed_by_a_worker() {
        let pool = threaded(0, 1);
        let io = pool.io();
        on_a_fiber(|| {
            let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
            let near = TcpStream::connect(io, listener.local_addr(io).unwrap()).unwrap();
            let (far, _) = listener.accept(io).unwrap();
            near.write_all(io, b"over the fence").unwrap();
            let mut buffer = [0; 14];
            far.read_exact(io, &mut buffer).unwrap();
            assert_eq!(&buffer, b"over the fence");
            near.close(io).unwrap();
            assert_eq!(far.read(io, &mut buffer).unwrap(), 0);
            let null = OpenOptions::new().read(true).write(true).open(io, "/dev/null").unwrap();
            assert_eq!(null.read(io, &mut buffer).unwrap(), 0);
            null.write_all(io, &[1; 10_000]).unwrap();
            assert!(!iolite_io::net::resolve(io, "localhost", 1).unwrap().is_empty());
        });
        assert_eq!(pool.runtime.pool.threads(), 1);
    }

    /// If the task blocked, its executor would stand still.
    #[test]
    fn a_fiber_does_not_begin_the_task_that_it_joins() {
        let pool = threaded(1, 0);
        let io = pool.io();
        on_a_fiber(|| {
            for _ in 0..1_000 {
                assert_ne!(io.spawn_async(|_| thread::current().id()).join(io), thread::current().id());
            }
        });
    }

    #[test]
    fn a_request_is_passed_to_the_worker_and_delivered_once() {
        let pool = threaded(0, 1);
        let (io, handle) = (pool.io(), pool.handle());
        let group = OwnedGroup::new(pool.handle());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::from(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        thread::scope(|scope| {
            let group = &group;
            let fiber = scope.spawn(move || {
                on_a_fiber(|| {
                    // Without a slot the task runs here, as a task on the fiber.
                    let task = group.spawn_async(move |io| {
                        let first = near.read(io, &mut [0; 8]);
                        (first, io.check_cancel(), near.write(io, b"bye"))
                    });
                    task.join(&*handle)
                })
            });
            while pool.runtime.pool.threads() == 0 {
                thread::yield_now();
            }
            group.cancel(io);
            let (first, second, third) = fiber.join().unwrap();
            assert!(Canceled::is_in(&first.unwrap_err()));
            second.unwrap();
            assert_eq!(third.unwrap(), 3);
        });
    }

    #[test]
    fn timeouts_pass_to_the_worker() {
        let pool = threaded(0, 1);
        let io = pool.io();
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        on_a_fiber(|| {
            for _ in 0..3 {
                let result = io.timeout(Duration::from_millis(2), |io| listener.accept(io));
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
                io.check_cancel().unwrap();
            }
        });
    }

    #[test]
    fn without_a_thread_the_error_names_both() {
        let pool = threaded(0, 0);
        let io = pool.io();
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let error = on_a_fiber(|| listener.accept(io)).unwrap_err();
        assert_eq!(
            ErrorChain::new(&error).to_string(),
            "threaded(async_limit 0, concurrent_limit 0, stack 1 MiB) has no thread to perform an operation for \
             pretended(1 fiber): no unit of concurrency is free: concurrent_limit = 0 is reached"
        );
    }

    #[test]
    fn the_shutdown_of_the_pool_is_no_cancellation_of_the_fiber() {
        let pool = threaded(0, 1);
        let handle = pool.handle();
        let listener = TcpListener::bind(pool.io(), "127.0.0.1:0").unwrap();
        let fiber = thread::spawn(move || on_a_fiber(|| listener.accept(&*handle).map(drop)));
        while pool.runtime.pool.threads() == 0 {
            thread::yield_now();
        }
        pool.shutdown();
        assert_eq!(fiber.join().unwrap().unwrap_err().to_string(), "the runtime behind this Io has shut down");
    }
}
