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

/// The candidate that needs the fewest edits to become `word`.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> &'a str {
    candidates.into_iter().min_by_key(|candidate| edits(word, candidate)).unwrap_or_default()
}

/// Whether `word` is probably `candidate` with a slip: in another case, or with no more than one edit for each three
/// characters.
pub(super) fn is_near_miss(word: &str, candidate: &str) -> bool {
    edits(&word.to_ascii_uppercase(), &candidate.to_ascii_uppercase()) <= candidate.chars().count() / 3
}

/// How many characters have to be inserted, removed, replaced or swapped with their neighbour.
fn edits(from: &str, to: &str) -> usize {
    strsim::osa_distance(from, to)
}

#[cfg(test)]
mod test {
    use super::{KEYS, is_near_miss, nearest};

    #[test]
    fn nearest_finds_the_typo() {
        assert_eq!(nearest("evnted", ["threaded", "evented", "auto"]), "evented");
    }

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        for (word, key) in [
            ("EXECUTERS", "executors"),
            ("EXECUTOR", "executors"),
            ("BACKNED", "backend"),
            ("backend", "backend"),
            ("STACKSIZE", "stack_size"),
            ("CONFG", "config"),
        ] {
            assert!(is_near_miss(word, key), "{word}");
        }
        for word in ["LOG", "LOG_LEVEL", "DEBUG", "HOME", "URL", "PORT", "VERSION", "LIMIT", "TIMEOUT", "FEATURES", ""]
        {
            let near = KEYS.iter().map(|key| key.name).chain(["config"]).find(|key| is_near_miss(word, key));
            assert_eq!(near, None, "{word}");
        }
    }
}
