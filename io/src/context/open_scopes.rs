//! Scopes of a context that are open until a guard drops.

use std::sync::Arc;

use super::current::{Context, current};
use super::scopes::{HasFailed, Inherited};
use super::token::Node;
use crate::cancel::TimeoutId;
use crate::time::Instant;

impl Context {
    /// Returns when the earliest timeout passes that binds the running task.
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        self.scopes.borrow().deadline()
    }

    /// Returns the timeouts and tokens that bind a task which the running task starts now.
    #[inline]
    fn inheritable_scopes(&self) -> Vec<Inherited> {
        let mut scopes = self.scopes.borrow_mut();
        if scopes.is_empty() { Vec::new() } else { scopes.inheritable() }
    }

    /// Opens a timeout, which ends when the guard drops.
    pub(crate) fn push_timeout(&self, deadline: Instant) -> (TimeoutId, ScopeGuard<'_>) {
        let mut scopes = self.scopes.borrow_mut();
        let guard = ScopeGuard { context: self, depth: scopes.depth() };
        (scopes.push_timeout(deadline), guard)
    }

    /// Returns true if the request of a timeout that is open has reached what runs within it.
    pub(crate) fn has_delivered(&self, id: TimeoutId) -> bool {
        self.scopes.borrow().has_delivered(id)
    }

    /// Opens the scope of a group: once the group has failed, points return `Canceled`.
    pub(crate) fn push_body(&self, group: Arc<dyn HasFailed>) -> ScopeGuard<'_> {
        let mut scopes = self.scopes.borrow_mut();
        let guard = ScopeGuard { context: self, depth: scopes.depth() };
        scopes.push_body(group);
        guard
    }

    /// Opens the scope of a token: once the token is canceled, points return `Canceled`.
    pub(crate) fn push_token(&self, node: Arc<Node>) -> ScopeGuard<'_> {
        let mut scopes = self.scopes.borrow_mut();
        let guard = ScopeGuard { context: self, depth: scopes.depth() };
        scopes.push_token(node, self.unparker());
        guard
    }

    /// Opens a shield: requests from outside wait until it ends.
    pub(crate) fn push_shield(&self) -> ScopeGuard<'_> {
        let mut scopes = self.scopes.borrow_mut();
        let guard = ScopeGuard { context: self, depth: scopes.depth() };
        scopes.push_shield();
        guard
    }
}

/// Closes, when it drops, the scopes that were opened since it was made.
pub(crate) struct ScopeGuard<'a> {
    context: &'a Context,
    depth: usize,
}

impl Drop for ScopeGuard<'_> {
    fn drop(&mut self) {
        self.context.scopes.borrow_mut().truncate(self.depth);
    }
}

/// Returns the timeouts and tokens that bind a task which the calling task starts now.
#[inline]
pub(crate) fn inheritable_scopes() -> Vec<Inherited> {
    current(Context::inheritable_scopes)
}
