//! A small bounded pool for what can only block a thread: name lookups.
