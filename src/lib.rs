//! The facade (under way).
#![allow(missing_docs)]
pub use iolite_bridge as bridge;
pub use iolite_evented as evented;
pub use iolite_io::*;
pub use iolite_threaded as threaded;
