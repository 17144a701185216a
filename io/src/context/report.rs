//! Where a runtime reports.

use std::sync::Arc;

/// Called with one line of text when something needs telling.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;
