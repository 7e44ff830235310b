//! Removes secrets from values that are shown.

use serde_json::Value;

/// Replaces a secret.
const CONCEALED: &str = "…";

/// Text is not shown if its key contains one of these words. Secrets belong into files and variables, whose names are
/// shown; this protects secrets that a config contains nevertheless.
const WORDS: [&str; 4] = ["password", "passphrase", "secret", "token"];

/// The value without passwords in URLs and without text under a key that names a secret.
pub(crate) fn concealed(key: &str, value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let last = key.rsplit('.').next().unwrap_or(key);
            // In the table of a secret, `file` and `env` are names, not secrets.
            let secret = WORDS.iter().any(|word| last.contains(word));
            Value::String(if secret { CONCEALED.to_owned() } else { without_password(text) })
        }
        Value::Array(items) => items.iter().map(|item| concealed(key, item)).collect(),
        other => other.clone(),
    }
}

/// `scheme://user:password@host` without the password.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once('@').and_then(|(user, _)| Some((user, user.split_once(':')?.0))) {
        Some((user, name)) => format!("{scheme}://{name}:{CONCEALED}{}", &rest[user.len()..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_password_is_shown() {
        let shown = |key, value: Value| concealed(key, &value);
        assert_eq!(
            shown("store.url", json!("postgres://me:pw@host/db?x=1")),
            json!("postgres://me:…@host/db?x=1")
        );
        assert_eq!(shown("store.url", json!("postgres://host/db")), json!("postgres://host/db"));
        assert_eq!(shown("store.password", json!("pw")), json!("…"));
        assert_eq!(shown("store.password.file", json!("/run/pw")), json!("/run/pw"));
        assert_eq!(shown("store.urls", json!(["redis://:pw@a"])), json!(["redis://:…@a"]));
    }
}
