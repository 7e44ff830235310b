//! Suggests the key or word that was meant in place of an unknown one.

use crate::config::path::KeyPath;

/// The word of `known` that is spelled most like `given`, if it is similar enough.
pub(crate) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = normal(given);
    let scored = known.into_iter().map(|word| {
        let distance = strsim::damerau_levenshtein(&given, &normal(word));
        (distance, word)
    });
    let (distance, word) = scored.min()?;
    let length = given.chars().count().max(word.chars().count());
    // Up to a third of the letters may differ, and one letter in a short word.
    (distance <= (length / 3).max(1) || prefixed(&given, word)).then_some(word)
}

/// True if one of the two begins with the other, as `idle_timeout` without its unit for `idle_timeout_s`.
fn prefixed(given: &str, word: &str) -> bool {
    given.chars().count() >= 3 && (word.starts_with(given) || given.starts_with(word))
}

/// The last word of each renamed key, with its name now. [`nearest`] does not find these.
const RENAMED: [(&str, &str); 5] = [
    ("announce_interval_s", "advertise_interval_s"),
    ("ring_len_max", "write_queue_len_max"),
    ("ring_mib_max", "write_queue_mib_max"),
    ("ring_percent", "write_queue_percent"),
    ("ring", "write_queue"),
];

/// Suggests a key of `table` for the unknown key `given`: the new name of a renamed key in full, a key that is spelled
/// alike, or else all known keys.
pub(crate) fn advice(table: &KeyPath, given: &str, known: &[&str]) -> Option<String> {
    let spelled = normal(given);
    let renamed = RENAMED.iter().find(|(before, now)| *before == spelled && known.contains(now));
    if let Some((_, now)) = renamed {
        return Some(format!("did you mean `{}`?", table.key(now)));
    }
    if let Some(word) = nearest(given, known.iter().copied()) {
        return Some(format!("did you mean `{word}`?"));
    }
    (!known.is_empty()).then(|| format!("known keys: {}", listed(known)))
}

/// The word in lower case with underscores, so that case and hyphens do not count as differences.
fn normal(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// The words in backquotes, separated by commas.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_words_are_suggested() {
        let known = ["count", "listen", "transports", "idle_timeout_s"];
        assert_eq!(nearest("cuont", known), Some("count"));
        assert_eq!(nearest("Listen", known), Some("listen"));
        assert_eq!(nearest("idle_timeout", known), Some("idle_timeout_s"));
        assert_eq!(nearest("idle-timeout-s", known), Some("idle_timeout_s"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
