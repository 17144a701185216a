//! The stack of cancellation scopes of a context: timeouts, shields, inline tasks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::block::Unparker;
use super::token::{Bound, Node};
use crate::cancel::{Cause, TimeoutId};
use crate::time::Instant;

/// The group of a scope whose body runs.
pub(crate) trait HasFailed: fmt::Debug + Send + Sync {
    /// Returns true once the group has failed, until it has reported that.
    fn has_failed(&self) -> bool;
}

/// A scope that encloses the place where a task was started, and that binds the task, too.
#[derive(Clone, Debug)]
pub(crate) enum Inherited {
    Timeout(InheritedTimeout),
    /// A token, which binds the task for as long as that lives.
    Token(Arc<Node>),
}

/// A timeout that encloses the place where a task was started.
///
/// The task has its own copy, and finds out by itself that the deadline has passed, whatever its parent does at that
/// time.
#[derive(Clone, Debug)]
pub(crate) struct InheritedTimeout {
    id: TimeoutId,
    deadline: Instant,
    shared: Arc<Shared>,
}

/// The state that the scope of a timeout shares with the tasks that were started in it.
///
/// Both flags are Relaxed: they say that a deadline no longer binds, or that it has reached a task, and publish nothing
/// else. A thread that knows by other means that the scope, or the task, has ended also sees the flag.
#[derive(Debug, Default)]
struct Shared {
    /// Set when the scope has ended. It binds a task that outlives it no longer.
    ended: AtomicBool,
    /// Set when the request of the timeout was delivered to a task.
    delivered: AtomicBool,
}

#[derive(Debug)]
enum Scope {
    /// The beginning of a task. The scopes below belong to the task on top of which it runs.
    Task,
    /// A shield: requests of the scopes that enclose it are not delivered.
    Shield,
    /// The body of a scope: once the group has failed, its points return `Canceled`.
    Body(Arc<dyn HasFailed>),
    /// Once the token is canceled, points return `Canceled`.
    Token { node: Arc<Node>, bound: Bound },
    Timeout {
        id: TimeoutId,
        deadline: Instant,
        /// Set while its request is delivered, and not given back.
        delivered: bool,
        /// Made when the first task takes the timeout over.
        shared: Option<Arc<Shared>>,
        inherited: bool,
    },
}

/// The scopes of one context, the innermost last. They keep their memory, so that a warm fiber opens scopes without
/// allocating.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    stack: Vec<Scope>,
    /// The number of timeouts among them. Most waits have none, and do not have to look for the earliest.
    timeouts: usize,
}

impl Scopes {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.stack.len()
    }

    #[inline]
    pub(super) fn push_task(&mut self, inherited: &[Inherited], context: Unparker) {
        if self.stack.is_empty() && inherited.is_empty() {
            return;
        }
        self.stack.push(Scope::Task);
        self.stack.extend(inherited.iter().map(|scope| match scope {
            Inherited::Timeout(timeout) => Scope::Timeout {
                id: timeout.id,
                deadline: timeout.deadline,
                delivered: false,
                shared: Some(timeout.shared.clone()),
                inherited: true,
            },
            Inherited::Token(node) => Scope::bound_by(node.clone(), context),
        }));
        self.timeouts += inherited.iter().filter(|scope| matches!(scope, Inherited::Timeout(_))).count();
    }

    pub(super) fn push_token(&mut self, node: Arc<Node>, context: Unparker) {
        self.stack.push(Scope::bound_by(node, context));
    }

    pub(super) fn push_shield(&mut self) {
        self.stack.push(Scope::Shield);
    }

    pub(super) fn push_body(&mut self, group: Arc<dyn HasFailed>) {
        self.stack.push(Scope::Body(group));
    }

    pub(super) fn push_timeout(&mut self, deadline: Instant) -> TimeoutId {
        let id = TimeoutId::next();
        self.stack.push(Scope::Timeout { id, deadline, delivered: false, shared: None, inherited: false });
        self.timeouts += 1;
        id
    }

    /// Ends all scopes above `depth`.
    #[inline]
    pub(super) fn truncate(&mut self, depth: usize) {
        if self.stack.len() > depth {
            self.truncate_slow(depth);
        }
    }

    #[cold]
    fn truncate_slow(&mut self, depth: usize) {
        for scope in self.stack.drain(depth..) {
            match scope {
                Scope::Timeout { shared, inherited, .. } => {
                    self.timeouts -= 1;
                    if let (Some(shared), false) = (shared, inherited) {
                        shared.ended.store(true, Ordering::Relaxed);
                    }
                }
                Scope::Token { node, bound } => node.unbind(bound),
                _ => {}
            }
        }
    }

    /// Returns true if a shield holds back requests to the running task.
    #[inline]
    pub(super) fn is_shielded(&self) -> bool {
        self.stack
            .iter()
            .rev()
            .take_while(|scope| !matches!(scope, Scope::Task))
            .any(|scope| matches!(scope, Scope::Shield))
    }

    /// Returns true if a shield holds back requests to some task of the context.
    #[inline]
    pub(super) fn has_shield(&self) -> bool {
        self.stack.iter().any(|scope| matches!(scope, Scope::Shield))
    }

    /// Returns the cause if every point returns `Canceled`: the body of a group that has failed runs, or something that a
    /// canceled token binds.
    #[inline]
    pub(super) fn aborted(&self) -> Option<Cause> {
        self.effective().find_map(|scope| match scope {
            Scope::Body(group) => group.has_failed().then_some(Cause::Aborted),
            Scope::Token { node, .. } => node.is_canceled().then_some(Cause::Token),
            _ => None,
        })
    }

    /// Returns the earliest deadline that is still to be delivered.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.timeouts == 0 { None } else { self.deadline_slow() }
    }

    #[cold]
    fn deadline_slow(&self) -> Option<Instant> {
        self.effective().filter_map(|scope| scope.undelivered()).map(|(_, deadline)| deadline).min()
    }

    /// Delivers the outermost timeout that has passed.
    pub(super) fn take_passed(&mut self, now: Instant) -> Option<TimeoutId> {
        let first = self.first_effective();
        self.stack[first..].iter_mut().find_map(|scope| match scope.undelivered() {
            Some((id, deadline)) if deadline <= now => {
                scope.set_delivered(true);
                Some(id)
            }
            _ => None,
        })
    }

    /// Hands a delivered request back. Returns false if this task is not in the scope of that timeout.
    pub(super) fn rearm(&mut self, wanted: TimeoutId) -> bool {
        // Innermost first: an inline task has scopes of its own for the timeouts of the one below.
        let found =
            self.stack.iter_mut().rev().find(|scope| matches!(scope, Scope::Timeout { id, .. } if *id == wanted));
        found.map(|scope| scope.set_delivered(false)).is_some()
    }

    /// Returns true if the request of that timeout, whose scope is open, was delivered and not given back, or was delivered
    /// to a task that was started in the scope.
    pub(super) fn has_delivered(&self, wanted: TimeoutId) -> bool {
        self.stack.iter().rev().any(|scope| match scope {
            Scope::Timeout { id, delivered, shared, inherited: false, .. } if *id == wanted => {
                *delivered || shared.as_ref().is_some_and(|shared| shared.delivered.load(Ordering::Relaxed))
            }
            _ => false,
        })
    }

    /// Returns the scopes that bind a task which is started here.
    pub(super) fn inheritable(&mut self) -> Vec<Inherited> {
        let first = self.first_effective();
        self.stack[first..]
            .iter_mut()
            .filter_map(|scope| match scope {
                Scope::Timeout { id, deadline, shared, .. } => Some(Inherited::Timeout(InheritedTimeout {
                    id: *id,
                    deadline: *deadline,
                    shared: shared.get_or_insert_default().clone(),
                })),
                Scope::Token { node, .. } => Some(Inherited::Token(node.clone())),
                Scope::Task | Scope::Shield | Scope::Body(_) => None,
            })
            .collect()
    }

    #[inline]
    fn effective(&self) -> impl Iterator<Item = &Scope> {
        self.stack[self.first_effective()..].iter()
    }

    /// Returns the index of the first scope above the innermost shield or the beginning of the task.
    #[inline]
    fn first_effective(&self) -> usize {
        self.stack.iter().rposition(|scope| matches!(scope, Scope::Task | Scope::Shield)).map_or(0, |below| below + 1)
    }
}

impl Scope {
    fn bound_by(node: Arc<Node>, context: Unparker) -> Self {
        let bound = node.bind(context);
        Self::Token { node, bound }
    }

    #[inline]
    fn undelivered(&self) -> Option<(TimeoutId, Instant)> {
        match self {
            Scope::Timeout { id, deadline, delivered: false, shared, inherited } => {
                let over = *inherited && shared.as_ref().is_some_and(|shared| shared.ended.load(Ordering::Relaxed));
                (!over).then_some((*id, *deadline))
            }
            _ => None,
        }
    }

    fn set_delivered(&mut self, value: bool) {
        if let Scope::Timeout { delivered, shared, inherited, .. } = self {
            *delivered = value;
            if let (true, true, Some(shared)) = (value, *inherited, shared) {
                shared.delivered.store(true, Ordering::Relaxed);
            }
        }
    }
}
