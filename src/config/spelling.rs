//! Detects near misses of names.

/// Returns the candidate that needs the fewest edits to become `word`.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> &'a str {
    candidates.into_iter().min_by_key(|candidate| edits(word, candidate)).unwrap_or_default()
}

/// Returns true if `word` is probably a misspelling of `candidate`: it differs only in case, or by at most one edit for
/// every three characters.
pub(super) fn is_near_miss(word: &str, candidate: &str) -> bool {
    edits(&word.to_ascii_uppercase(), &candidate.to_ascii_uppercase()) <= candidate.chars().count() / 3
}

/// Returns the number of characters that have to be inserted, removed, replaced or swapped with their neighbour.
fn edits(from: &str, to: &str) -> usize {
    strsim::osa_distance(from, to)
}

#[cfg(test)]
mod test {
    use super::super::settings::KEYS;
    use super::{is_near_miss, nearest};

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
