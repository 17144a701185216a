//! Cancellation of what belongs together, wherever it runs: tokens, and tokens below them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::cancel::WaitError;
use crate::context::{self, Unparker};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::sync::Event;
use crate::time::Instant;
use crate::{Canceled, Io};

/// Cancels what belongs together although nobody owns all of it: the tasks of a connection in several groups, a request and
/// the calls that it makes, everything below "stop". Clones are the same token.
///
/// What a handle owns it cancels better: a [`Task`](crate::Task) or a [`Group`](crate::Group) is canceled, and waited for,
/// by itself. A token is for the rest. It reaches code in two ways:
///
/// - [`run`](Self::run): every cancellation point within returns [`Canceled`], as after an
///   [`abort`](crate::Task::abort), and so does every point of the tasks that are started within;
/// - [`canceling`](Self::on_canceled): as one of many things to wait for, where there is more to do than to stop.
///
/// A [`child_token`](Self::child_token) is canceled with its parent and can be canceled without it.
///
/// ```
/// use std::io;
///
/// use iolite_io::{CancellationToken, Io, OwnedGroup, net::{TcpListener, TcpStream}};
///
/// fn serve(io: &dyn Io, listener: &TcpListener, sessions: &OwnedGroup, stop: &CancellationToken) -> io::Result<()> {
///     stop.run(io, |io| loop {
///         let (stream, _) = listener.accept(io)?; // `Canceled`, once somebody says `stop.cancel()`
///         let own = stop.child_token();
///         sessions.spawn_waiting(io, move |io| {
///             let _all = own.clone().drop_guard(); // what the session leaves behind ends with it
///             own.run(io, |io| session(io, &stream))
///         })?;
///     })
/// }
/// # fn session(io: &dyn Io, stream: &TcpStream) -> io::Result<()> { stream.write_all(io, b"hello") }
/// ```
#[derive(Clone)]
pub struct CancellationToken {
    node: Arc<Node>,
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("is_canceled", &self.is_canceled()).finish()
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        Self::new()
    }
}

impl CancellationToken {
    /// Makes a token that has no parent.
    pub fn new() -> Self {
        Self { node: Arc::new(Node::below(None)) }
    }

    /// Makes a token that is canceled when this one is, and can be canceled alone. It keeps this one's place below its own
    /// parents, also when this one is dropped.
    #[must_use]
    pub fn child_token(&self) -> Self {
        let mut state = self.node.state.lock();
        let node = Arc::new_cyclic(|child: &Weak<Node>| {
            let slot = state.children.insert(child.clone());
            Node::below(Some((self.node.clone(), slot)))
        });
        let is_canceled = state.canceled;
        drop(state);
        let child = Self { node };
        if is_canceled {
            child.cancel();
        }
        child
    }

    /// Cancels this token and those below it, for good. Never suspends; from any thread. A second time it does nothing.
    pub fn cancel(&self) {
        // A list, since the tokens below may be deeper than the stack.
        let mut nodes = vec![self.node.clone()];
        while let Some(node) = nodes.pop() {
            let mut state = node.state.lock();
            if state.canceled {
                continue;
            }
            state.canceled = true;
            // Relaxed: whoever is woken below sees it by that; others see it soon.
            node.canceled.store(true, Ordering::Relaxed);
            let bound: Vec<Unparker> = state.bound.iter().copied().collect();
            nodes.extend(state.children.iter().filter_map(Weak::upgrade));
            drop(state);
            node.event.set();
            bound.into_iter().for_each(Unparker::unpark);
        }
    }

    /// Whether it is canceled. What was written before [`cancel`](Self::cancel) is visible then.
    pub fn is_canceled(&self) -> bool {
        self.node.event.is_set()
    }

    /// Runs `body`, in which every cancellation point returns [`Canceled`] from when the token is canceled, for good, as
    /// every point does of a task that is started in it, for as long as that lives. A blocked call is ended.
    ///
    /// What follows `run` is not affected. Clean-up that waits goes into [`shield`](crate::Io#method.shield), as after an
    /// [`abort`](crate::Task::abort).
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point itself: a canceled token does not keep `body` from being run, and nothing ends before `body`
    /// comes to a point. A success that is there nevertheless is reported.
    pub fn run<T>(&self, io: &dyn Io, body: impl FnOnce(&dyn Io) -> T) -> T {
        context::current(|context| {
            let _guard = context.push_token(self.node.clone());
            body(io)
        })
    }

    /// Waits until it is canceled.
    ///
    /// # Cancellation
    ///
    /// A cancellation point of the caller, also when the token is canceled; inside of [`run`](Self::run), too.
    ///
    /// # Errors
    ///
    /// [`Canceled`]: not the token, but the waiter, was canceled.
    pub fn canceled(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.node.event.wait(io)
    }

    /// As [`canceled`](Self::canceled), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn canceled_uncancelable(&self, io: &dyn Io) {
        self.node.event.wait_uncancelable(io);
    }

    /// As [`canceled`](Self::canceled), until `deadline`.
    ///
    /// # Cancellation
    ///
    /// As `canceled`.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub fn canceled_deadline(&self, io: &dyn Io, deadline: Instant) -> Result<(), WaitError> {
        self.node.event.wait_deadline(io, deadline)
    }

    /// Its being canceled, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_canceled(&self) -> impl Selectable<Output = ()> + '_ {
        self.node.event.on_wait()
    }

    /// Cancels the token when the guard is dropped, by unwinding, too.
    pub fn drop_guard(self) -> CancellationGuard {
        CancellationGuard { token: Some(self) }
    }
}

/// Cancels a [`CancellationToken`] when it is dropped; from [`drop_guard`](CancellationToken::drop_guard).
#[must_use = "dropped at once, it cancels the token at once"]
#[derive(Debug)]
pub struct CancellationGuard {
    token: Option<CancellationToken>,
}

impl CancellationGuard {
    /// Gives the token back, which then is not canceled.
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().expect("a guard has its token")
    }
}

impl Drop for CancellationGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

/// A token. It keeps those above it, which know it by its place.
pub(crate) struct Node {
    /// As in `state`, for cancellation points, which look often.
    canceled: AtomicBool,
    event: Event,
    state: Lock<State>,
    /// The token above, and which of its children this one is.
    parent: Option<(Arc<Node>, usize)>,
}

#[derive(Default)]
struct State {
    canceled: bool,
    children: Slots<Weak<Node>>,
    /// The contexts that run something which the token cancels.
    bound: Slots<Unparker>,
}

/// That a context runs something which a token cancels, until it is [unbound](Node::unbind).
#[derive(Debug)]
pub(crate) struct Bound(usize);

impl Node {
    fn below(parent: Option<(Arc<Self>, usize)>) -> Self {
        Self { canceled: AtomicBool::new(false), event: Event::new(), state: Lock::default(), parent }
    }

    #[inline]
    pub(crate) fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }

    /// From now on that context is woken when the token is canceled.
    pub(crate) fn bind(&self, context: Unparker) -> Bound {
        Bound(self.state.lock().bound.insert(context))
    }

    /// That context need not be woken any more; it may be.
    pub(crate) fn unbind(&self, bound: Bound) {
        self.state.lock().bound.remove(bound.0);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("canceled", &self.canceled).finish_non_exhaustive()
    }
}

impl Drop for Node {
    /// Leaves the tokens above, and drops those that nobody else has, one after the other: they may be higher than the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some((parent, slot)) = next {
            parent.state.lock().children.remove(slot);
            next = Arc::into_inner(parent).and_then(|mut node| node.parent.take());
        }
    }
}

/// Things by their numbers, which are used again.
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    fn insert(&mut self, thing: T) -> usize {
        if let Some(number) = self.free.pop() {
            self.slots[number] = Some(thing);
            return number;
        }
        self.slots.push(Some(thing));
        self.slots.len() - 1
    }

    fn remove(&mut self, number: usize) {
        self.slots[number] = None;
        self.free.push(number);
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}
