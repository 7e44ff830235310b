//! What somebody who mistyped a word may have meant.

/// The one of `known` that is nearest to `given`, when it is near enough to be meant.
pub(crate) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = given.to_lowercase().replace('-', "_");
    let scored = known.into_iter().map(|word| {
        let distance = strsim::damerau_levenshtein(&given, &word.to_lowercase().replace('-', "_"));
        (distance, word)
    });
    let (distance, word) = scored.min()?;
    let length = given.chars().count().max(word.chars().count());
    // A third of the word may be wrong, and a short word in one place.
    (distance <= (length / 3).max(1) || prefixed(&given, word)).then_some(word)
}

/// `word` written short, or with its unit left out: `idle_timeout` for `idle_timeout_s`.
fn prefixed(given: &str, word: &str) -> bool {
    given.chars().count() >= 3 && (word.starts_with(given) || given.starts_with(word))
}

/// Keys that had another name before, each with its name now. Words too different for [`nearest`].
const RENAMED: [(&str, &str); 5] = [
    ("announce_interval_s", "advertise_interval_s"),
    ("ring_len_max", "write_queue_len_max"),
    ("ring_mib_max", "write_queue_mib_max"),
    ("ring_percent", "write_queue_percent"),
    ("ring", "write_queue"),
];

/// The name now, `did you mean …?`, or else the known words.
pub(crate) fn advice(given: &str, known: &[&str]) -> Option<String> {
    let renamed = RENAMED.iter().find(|(before, now)| *before == given && known.contains(now));
    if let Some((_, now)) = renamed {
        return Some(format!("the key is called `{now}` now"));
    }
    if let Some(word) = nearest(given, known.iter().copied()) {
        return Some(format!("did you mean `{word}`?"));
    }
    (!known.is_empty()).then(|| format!("known here: {}", listed(known)))
}

/// The words in backquotes, separated by commas.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_meant_is_suggested() {
        let known = ["count", "listen", "transports", "idle_timeout_s"];
        assert_eq!(nearest("cuont", known), Some("count"));
        assert_eq!(nearest("Listen", known), Some("listen"));
        assert_eq!(nearest("idle_timeout", known), Some("idle_timeout_s"));
        assert_eq!(nearest("idle-timeout-s", known), Some("idle_timeout_s"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
