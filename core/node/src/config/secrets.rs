//! Removes secrets from values that are shown.

use reqwest::Url;
use serde_json::Value;
use std::borrow::Cow;

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
            Value::String(if secret { CONCEALED.to_owned() } else { text_concealed(text).into_owned() })
        }
        Value::Array(items) => items.iter().map(|item| concealed(key, item)).collect(),
        other => other.clone(),
    }
}

/// The text, without the credentials of each URL in it: the password, and what follows `?` and `#`. One without a scheme is known by
/// what stands in it: `user:password@host`, `host?key=value`.
pub(crate) fn text_concealed(text: &str) -> Cow<'_, str> {
    if !text.contains("://") && !text.contains(['@', '?']) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(ends_url) {
        let url = piece.trim_end_matches(ends_url);
        urls(url).for_each(|url| shown.push_str(&url_concealed(url)));
        shown.push_str(&piece[url.len()..]);
    }
    Cow::Owned(shown)
}

/// These are never part of a URL. A comma may be part of a password.
fn ends_url(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '"' | '\'' | '`' | '\\')
}

/// The URLs of a list with commas between them.
fn urls(list: &str) -> impl Iterator<Item = &str> {
    let begins_url = |text: &str| {
        let rest =
            text.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
        rest.len() < text.len() && rest.starts_with("://")
    };
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let comma = list.match_indices(',').map(|(at, _)| at + 1).find(|at| begins_url(&list[*at..]));
        let (url, others) = comma.map_or((list, None), |at| (&list[..at], Some(&list[at..])));
        rest = others;
        Some(url)
    })
}

/// As the parser of URLs divides it. What it cannot read may be a URL with a password that is not encoded: up to the last `@`
/// nothing but the name is shown.
fn url_concealed(url: &str) -> String {
    let Some(begin) = url.find("://").map(|at| at + 3) else { return bare_concealed(url) };
    let is_url = Url::parse(url).is_ok();
    let user_end = match is_url {
        true => url[begin..].find(['/', '?', '#']).map_or(url.len(), |end| begin + end),
        false => url.len(),
    };
    let (host, shown) = match url[begin..user_end].rfind('@') {
        Some(at) => {
            let user = &url[begin..begin + at];
            let password = user.split_once(':').map(|(name, _)| format!("{name}:{CONCEALED}"));
            (begin + at, password.unwrap_or_else(|| user.to_owned()))
        }
        None => (begin, String::new()),
    };
    let rest = &url[host..];
    let rest = match rest.find(['?', '#']).filter(|end| end + 1 < rest.len()) {
        Some(end) => format!("{}{CONCEALED}", &rest[..=end]),
        None => rest.to_owned(),
    };
    format!("{}{shown}{rest}", &url[..begin])
}

/// The same of a text without a scheme.
fn bare_concealed(text: &str) -> String {
    let options = text.find('?').filter(|at| text[*at..].contains('='));
    let (text, options) = match options {
        Some(at) => (&text[..at], format!("?{CONCEALED}")),
        None => (text, String::new()),
    };
    let user = text.rfind('@').and_then(|host| Some((text[..host].find(':')?, host)));
    match user {
        Some((password, host)) => format!("{}:{CONCEALED}{}{options}", &text[..password], &text[host..]),
        None => format!("{text}{options}"),
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
            ("redis://u:p,w@b:2,redis://u:p?w@c", "redis://u:…@b:2,redis://u:…@c"),
            ("{\"to\":\"http://c/?pw\",\"n\":1}", "{\"to\":\"http://c/?…\",\"n\":1}"),
            ("\"{\\\"to\\\":\\\"http://c/?pw\\\"}\"", "\"{\\\"to\\\":\\\"http://c/?…\\\"}\""),
            ("at `http://c/?pw` or\nhttp://d", "at `http://c/?…` or\nhttp://d"),
            ("http://c/?mail=a@b&key=pw", "http://c/?…"),
            ("http://u:pw@c/?mail=a@b&key=pw", "http://u:…@c/?…"),
            ("http://c/a:b@d", "http://c/a:b@d"),
            ("a ? b # c", "a ? b # c"),
            ("`h:6379?password=pw` is none", "`h:6379?…` is none"),
            ("`me:p@w@h:6379` is none", "`me:…@h:6379` is none"),
            ("me:pw@h?a=pw", "me:…@h?…"),
            ("hydra@h, what? a=b", "hydra@h, what? a=b"),
            ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/1"),
        ] {
            assert_eq!(text_concealed(text), shown);
        }
    }
}
