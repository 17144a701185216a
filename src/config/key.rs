//! The keys: their names, and how a text becomes a value. The environment and TOML share them.

use super::{Config, value};

/// Before each key's name in the environment.
pub(super) const PREFIX: &str = "IOLITE_";

/// A setting that has a name.
pub(super) struct Key {
    pub(super) name: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

/// In the order in which the documentation tells them.
pub(super) const KEYS: [Key; 11] = [
    Key { name: "backend", set: |config, text| store(&mut config.backend, value::backend(text)) },
    Key { name: "async_limit", set: |config, text| store(&mut config.async_limit, value::count(text)) },
    Key { name: "concurrent_limit", set: |config, text| store(&mut config.concurrent_limit, value::count(text)) },
    Key {
        name: "stack_size",
        // Of any backend's range: which one is chosen may not have been read yet.
        set: |config, text| {
            store(&mut config.stack_size, value::bytes(text).and_then(|bytes| value::stack_size(bytes, None)))
        },
    },
    Key {
        name: "main_stack_size",
        set: |config, text| store(&mut config.main_stack_size, value::bytes(text).and_then(value::main_stack_size)),
    },
    Key {
        name: "executors",
        set: |config, text| store(&mut config.executors, value::count(text).and_then(value::executors)),
    },
    Key {
        name: "offload_limit",
        set: |config, text| store(&mut config.offload_limit, value::count(text).and_then(value::offload_limit)),
    },
    Key {
        name: "lookup_limit",
        set: |config, text| store(&mut config.lookup_limit, value::count(text).and_then(value::lookup_limit)),
    },
    Key {
        name: "lookup_timeout",
        set: |config, text| store(&mut config.lookup_timeout, value::duration(text).and_then(value::lookup_timeout)),
    },
    Key { name: "idle_timeout", set: |config, text| store(&mut config.idle_timeout, value::duration(text)) },
    Key { name: "shutdown_grace", set: |config, text| store(&mut config.shutdown_grace, value::duration(text)) },
];

fn store<T>(setting: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *setting = Some(value?);
    Ok(())
}

impl Key {
    /// The name of the environment variable.
    pub(super) fn variable(name: &str) -> String {
        format!("{PREFIX}{}", name.to_ascii_uppercase())
    }

    pub(super) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text)
    }
}
