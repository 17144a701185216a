//! Cancellation tokens, which cancel related work wherever it runs, and their children.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crate::context::{self, Bound, Node, Unparker};
use crate::sealed::Token;
use crate::select::{Fact, Selectable};
use crate::{Canceled, Io};

/// Cancels related work that has no single owner: the tasks of a connection in several groups, a request and the calls
/// that it makes, everything below "stop". Clones are the same token.
///
/// Work that has a handle is better canceled through it: a [`Task`](crate::Task) or a [`Group`](crate::Group) is
/// canceled, and waited for, by itself. A token is for all other work. It reaches code in two ways:
///
/// - [`run`](Self::run): every cancellation point within it returns [`Canceled`], as after an
///   [`abort`](crate::Task::abort), and so does every point of the tasks that are started within it;
/// - [`on_canceled`](Self::on_canceled): a source for `select`, for code that does more than stop.
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
///         let (stream, _) = listener.accept(io)?; // `Canceled`, once a caller has called `stop.cancel()`
///         let own = stop.child_token();
///         sessions.spawn_waiting(move |io| {
///             let _all = own.clone().drop_guard(); // cancels what the session leaves behind
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
    /// Makes a token without a parent.
    pub fn new() -> Self {
        Self { node: Arc::new(Node::new()) }
    }

    /// Makes a token that is canceled together with this one and can also be canceled alone. It stays below the parents
    /// of this one even if this one is dropped.
    #[must_use]
    pub fn child_token(&self) -> Self {
        Self { node: self.node.child() }
    }

    /// Cancels this token and those below it, permanently. Never suspends; works from any thread. A second call does
    /// nothing.
    pub fn cancel(&self) {
        self.node.cancel();
    }

    /// Returns true if the token is canceled. Writes before [`cancel`](Self::cancel) are then visible.
    pub fn is_canceled(&self) -> bool {
        self.node.is_canceled_visibly()
    }

    /// Runs `body` under the token. Once the token is canceled, every cancellation point in `body` returns
    /// [`Canceled`], permanently, and so does every point of a task that is started in `body`, for as long as the task
    /// lives. A blocked call is ended.
    ///
    /// The code after `run` is not affected. Clean-up code that waits has to run in
    /// [`shield`](crate::Io#method.shield), as after an [`abort`](crate::Task::abort).
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point itself: `body` runs even if the token is canceled already, and nothing ends before
    /// `body` reaches a point. A call that succeeds nevertheless reports its success.
    pub fn run<T>(&self, io: &dyn Io, body: impl FnOnce(&dyn Io) -> T) -> T {
        context::current(|context| {
            let _guard = context.push_token(self.node.clone());
            body(io)
        })
    }

    /// Waits until the token is canceled.
    ///
    /// # Cancellation
    ///
    /// A cancellation point of the caller, even if the token is canceled; inside of [`run`](Self::run), too.
    ///
    /// # Errors
    ///
    /// [`Canceled`] if the waiter was canceled, as opposed to the token.
    pub fn canceled(&self, io: &dyn Io) -> Result<(), Canceled> {
        io.select(self.on_canceled())
    }

    /// Waits until the token is canceled. Requests do not end the wait.
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

    /// Returns a source that is ready once the token is canceled. For [`select`](crate::Io#method.select).
    pub fn on_canceled(&self) -> impl Selectable<Output = ()> + '_ {
        Canceling { node: &self.node, bound: Cell::new(None) }
    }

    /// Returns a guard that cancels the token when it is dropped, also by unwinding.
    pub fn drop_guard(self) -> CancellationGuard {
        CancellationGuard { token: Some(self) }
    }
}

/// The cancellation of a token as a source.
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
    /// Returns the token without canceling it.
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
