//! Cancellation of what belongs together, wherever it runs: tokens, and tokens below them.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crate::context::{self, Bound, Node, Unparker};
use crate::sealed::Token;
use crate::select::{Fact, Selectable};
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
        Self { node: Arc::new(Node::new()) }
    }

    /// Makes a token that is canceled when this one is, and can be canceled alone. It keeps this one's place below its own
    /// parents, also when this one is dropped.
    #[must_use]
    pub fn child_token(&self) -> Self {
        Self { node: self.node.child() }
    }

    /// Cancels this token and those below it, for good. Never suspends; from any thread. A second time it does nothing.
    pub fn cancel(&self) {
        self.node.cancel();
    }

    /// Whether it is canceled. What was written before [`cancel`](Self::cancel) is visible then.
    pub fn is_canceled(&self) -> bool {
        self.node.is_canceled_visibly()
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
        io.select(self.on_canceled())
    }

    /// As [`canceled`](Self::canceled), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn canceled_uncancelable(&self, io: &dyn Io) {
        context::current(|context| {
            context.assert_outside_no_suspend();
            context.pass_point();
            let bound = self.node.bind(context.unparker());
            context::wait_uncancelable(io, || self.node.is_canceled_visibly(), |_| {});
            self.node.unbind(bound);
        });
    }

    /// Its being canceled, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_canceled(&self) -> impl Selectable<Output = ()> + '_ {
        Canceling { node: &self.node, bound: Cell::new(None) }
    }

    /// Cancels the token when the guard is dropped, by unwinding, too.
    pub fn drop_guard(self) -> CancellationGuard {
        CancellationGuard { token: Some(self) }
    }
}

/// A token's being canceled, as a source.
struct Canceling<'a> {
    node: &'a Node,
    bound: Cell<Option<Bound>>,
}

impl Selectable for Canceling<'_> {
    type Output = ();

    fn output(self, _: usize, _: &dyn Io, _: Token) {}
}

impl Fact for Canceling<'_> {
    fn is_there(&self, _: &dyn Io) -> bool {
        self.node.is_canceled_visibly()
    }

    fn watch(&self, waiter: Unparker) {
        self.bound.set(Some(self.node.bind(waiter)));
    }

    fn unwatch(&self) {
        if let Some(bound) = self.bound.take() {
            self.node.unbind(bound);
        }
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
