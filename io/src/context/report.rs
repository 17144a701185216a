//! The function to which a runtime reports.

use std::sync::Arc;

/// A function that is called with one line of text for each event that a runtime reports.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;
