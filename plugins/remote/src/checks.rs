//! Mistakes of a config that show without asking a server.

use hydra_api::{OpenError, SecretSource};
use std::path::Path;

/// Refuses an entry of `hosts` that names no server. What may be a secret in it is not shown.
///
/// # Errors
/// [`OpenError::config`] of each such entry, as `<key>[<place>]`.
pub fn check_hosts(key: &str, hosts: &[String]) -> Result<(), OpenError> {
    OpenError::all(hosts.iter().enumerate().map(|(place, host)| match wrong(host) {
        Some(why) => Err(OpenError::config(format!("{key}[{place}]"), format!("{} {why}", shown(host)))),
        None => Ok(()),
    }))
}

/// An entry as messages show it: without what follows the name of a server, which may be options with a password, and not at all if
/// it may have a user.
fn shown(host: &str) -> String {
    if host.contains("://") || host.contains('@') {
        return "the entry".to_owned();
    }
    match host.find(is_odd) {
        Some(end) => format!("`{}…`", &host[..end]),
        None => format!("`{host}`"),
    }
}

/// Never part of the name of a host.
fn is_odd(letter: char) -> bool {
    letter.is_whitespace() || "/,;?#".contains(letter)
}

/// Why this is not `host`, `host:port`, `[ipv6]:port` or a path.
fn wrong(host: &str) -> Option<&'static str> {
    const PORT: &str = "has no port between 1 and 65535 after the colon";
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if host.starts_with('/') {
        return None;
    }
    if host.contains("://") || host.contains('@') {
        return Some(
            "is a URL: give `host` or `host:port`; user, password and database have keys of their own",
        );
    }
    if let Some(rest) = host.strip_prefix('[') {
        let Some((_, port)) = rest.split_once(']') else { return Some("has no closing bracket") };
        let port = port.strip_prefix(':').or_else(|| port.is_empty().then_some("1"));
        return (!port.is_some_and(is_port)).then_some(PORT);
    }
    if host.is_empty() || host.contains(is_odd) {
        return Some(
            "is not the name of a host: give each server an entry of its own, as `host` or `host:port`",
        );
    }
    match host.split_once(':') {
        // An IPv6 address without brackets.
        Some((_, port)) if port.contains(':') => None,
        Some(("", _)) => Some("has no host before the colon"),
        Some((_, port)) => (!is_port(port)).then_some(PORT),
        None => None,
    }
}

/// Refuses one of two files that must be set together, such as a certificate without its key.
///
/// # Errors
/// [`OpenError::config`] of the one that is given.
pub fn check_pair(one: (&str, Option<&Path>), other: (&str, Option<&Path>)) -> Result<(), OpenError> {
    match (one, other) {
        ((key, Some(_)), (missing, None)) | ((missing, None), (key, Some(_))) => {
            Err(OpenError::config(key, format!("`{missing}` is missing: set both, or neither")))
        }
        _ => Ok(()),
    }
}

/// Reads a secret once: a file that is not there, or a variable that is not set, is a mistake of the config and no failure of the
/// server.
///
/// # Errors
/// [`OpenError::config`]
pub fn check_secret(key: &str, secret: Option<&SecretSource>) -> Result<(), OpenError> {
    match secret.map(SecretSource::read) {
        Some(Err(cause)) => Err(OpenError::config(key, cause.to_string())),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Opens a file once, for the same reason.
///
/// # Errors
/// [`OpenError::config`]
pub fn check_file(key: &str, file: Option<&Path>) -> Result<(), OpenError> {
    match file.map(|file| (file, std::fs::File::open(file))) {
        Some((file, Err(cause))) => {
            Err(OpenError::config(key, format!("cannot read {}: {cause}", file.display())))
        }
        Some((_, Ok(_))) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::OpenErrorKind;

    #[test]
    fn hosts_that_name_no_server_are_refused_with_their_places() {
        for right in
            ["db", "db:6432", "10.0.0.1:1", "::1", "[::1]", "[::1]:6432", "/run/postgresql", "a-b.c_d"]
        {
            assert!(check_hosts("hosts", &[right.to_owned()]).is_ok(), "{right}");
        }
        for mistake in [
            "",
            "db:99999",
            "db:0",
            "db:",
            "db:x",
            ":5432",
            "redis://db:6379",
            "me@db",
            "[::1",
            "[::1]:x",
            "a b",
            "a,b",
        ] {
            let error = check_hosts("hosts", &["db".to_owned(), mistake.to_owned()]).unwrap_err();
            let OpenErrorKind::Config { key } = error.kind() else { panic!("{mistake}: {error}") };
            assert_eq!(key, "hosts[1]", "{mistake}");
        }
    }
}
