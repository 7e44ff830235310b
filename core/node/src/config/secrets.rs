//! Removes secrets from values that are shown.

use reqwest::Url;
use serde_json::Value;

/// Replaces a secret.
const CONCEALED: &str = "…";

/// Text is not shown if its key contains one of these words. Secrets belong into files and variables, whose names are
/// shown; this protects secrets that a config contains nevertheless.
const WORDS: [&str; 4] = ["password", "passphrase", "secret", "token"];

/// The value without the credentials in URLs and without text under a key that names a secret.
pub(crate) fn concealed(key: &str, value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let last = key.rsplit('.').next().unwrap_or(key);
            // In the table of a secret, `file` and `env` are names, not secrets.
            let secret = WORDS.iter().any(|word| last.contains(word));
            Value::String(if secret { CONCEALED.to_owned() } else { text_concealed(text) })
        }
        Value::Array(items) => items.iter().map(|item| concealed(key, item)).collect(),
        other => other.clone(),
    }
}

/// The text, without the credentials of each URL in it: the password, and what follows `?` and `#`.
pub(crate) fn text_concealed(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for piece in
        text.split_inclusive(|letter: char| letter.is_whitespace() || matches!(letter, ',' | '"' | '\''))
    {
        shown.push_str(&piece_concealed(piece));
    }
    shown
}

fn piece_concealed(piece: &str) -> String {
    if !piece.contains("://") {
        return piece.to_owned();
    }
    let without_query = match piece.find(['?', '#']) {
        Some(at) if piece.len() > at + 1 => format!("{}{CONCEALED}", &piece[..=at]),
        _ => piece.to_owned(),
    };
    without_password(&without_query)
}

/// `scheme://user:password@host` without the password. The parser of URLs says whether there is one, if it can read the text at all:
/// else whatever stands before the last `@`.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    if Url::parse(text).is_ok_and(|url| url.password().is_none() && url.username().is_empty()) {
        return text.to_owned();
    }
    // A password may contain `/`, although it should not: up to the last `@` nothing is shown.
    match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{scheme}://{name}:{CONCEALED}@{host}"),
            None => text.to_owned(),
        },
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
            json!("postgres://me:…@host/db?…")
        );
        assert_eq!(shown("store.url", json!("postgres://host/db")), json!("postgres://host/db"));
        assert_eq!(shown("store.url", json!("postgres://me@host/db")), json!("postgres://me@host/db"));
        assert_eq!(shown("store.password", json!("pw")), json!("…"));
        assert_eq!(shown("store.password.file", json!("/run/pw")), json!("/run/pw"));
        assert_eq!(shown("store.urls", json!(["redis://:pw@a"])), json!(["redis://:…@a"]));
    }

    #[test]
    fn credentials_are_found_wherever_a_url_holds_them() {
        for (text, shown) in [
            ("http://c:4318/?key=pw", "http://c:4318/?…"),
            ("http://c:4318/#pw", "http://c:4318/#…"),
            ("postgres://me:p@w@host/db", "postgres://me:…@host/db"),
            ("postgres://me:p/w@host/db", "postgres://me:…@host/db"),
            ("postgres:///db?host=/run&password=pw", "postgres:///db?…"),
            ("cannot reach redis://:pw@a:1, gave up", "cannot reach redis://:…@a:1, gave up"),
            ("redis://a:1,redis://u:pw@b:2", "redis://a:1,redis://u:…@b:2"),
            ("a ? b # c", "a ? b # c"),
            ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/1"),
        ] {
            assert_eq!(text_concealed(text), shown);
        }
    }
}
