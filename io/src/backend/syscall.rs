//! The operations that never block, for every backend on an operating system.
