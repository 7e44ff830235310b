//! Where a server is.

use std::fmt;
use std::path::PathBuf;

/// Where a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// A host name or an IP address, and a port.
    Network(String, u16),
    /// A Unix socket.
    Socket(PathBuf),
}

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl Address {
    /// The server of a `hosts` entry.
    pub(crate) fn of_server(host: &str) -> Self {
        Self::parse(host, PORT)
    }

    /// The sentinel of a `hosts` entry.
    pub(crate) fn of_sentinel(host: &str) -> Self {
        Self::parse(host, SENTINEL_PORT)
    }

    fn parse(host: &str, port: u16) -> Self {
        if host.starts_with('/') {
            return Self::Socket(host.into());
        }
        if let Some((inner, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let own = rest.strip_prefix(':').and_then(|port| port.parse().ok());
            return Self::Network(inner.to_owned(), own.unwrap_or(port));
        }
        match host.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
            Some((name, Ok(own))) if !name.contains(':') => Self::Network(name.to_owned(), own),
            _ => Self::Network(host.to_owned(), port),
        }
    }

    /// The node that an error such as `MOVED 1 10.0.0.1:6379` names; the host is left out for the node that was asked.
    pub(crate) fn of_redirect(named: &str, asked: &Self) -> Option<Self> {
        let (host, port) = named.rsplit_once(':')?;
        Self::of_answer(host, port.parse().ok()?, asked)
    }

    /// A node that a server names; without a host it is the one that was asked.
    pub(crate) fn of_answer(host: &str, port: u16, asked: &Self) -> Option<Self> {
        match (host, asked) {
            ("" | "?", Self::Network(asked, _)) => Some(Self::Network(asked.clone(), port)),
            ("" | "?", Self::Socket(_)) => None,
            (host, _) => Some(Self::Network(host.to_owned(), port)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Network(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(host: &str, port: u16) -> Address {
        Address::Network(host.to_owned(), port)
    }

    #[test]
    fn hosts_are_names_addresses_and_sockets() {
        for (host, expected) in [
            ("redis", network("redis", 6379)),
            ("redis:7000", network("redis", 7000)),
            ("::1", network("::1", 6379)),
            ("[::1]:7000", network("::1", 7000)),
            ("/run/redis.sock", Address::Socket("/run/redis.sock".into())),
        ] {
            assert_eq!(Address::of_server(host), expected);
        }
        assert_eq!(Address::of_sentinel("one"), network("one", 26379));
    }

    #[test]
    fn redirects_name_a_node_or_mean_the_one_that_was_asked() {
        let asked = network("10.0.0.1", 6379);
        assert_eq!(Address::of_redirect("10.0.0.2:7001", &asked), Some(network("10.0.0.2", 7001)));
        assert_eq!(Address::of_redirect("2001:db8::1:7001", &asked), Some(network("2001:db8::1", 7001)));
        assert_eq!(Address::of_redirect(":7001", &asked), Some(network("10.0.0.1", 7001)));
        assert_eq!(Address::of_redirect("nonsense", &asked), None);
    }
}
