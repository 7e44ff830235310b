//! Where a server is.

use std::fmt;
use std::path::PathBuf;

/// Where a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// A host name or an IP address, and a port.
    Network(String, u16),
    /// A Unix socket, or its directory.
    Socket(PathBuf),
}

impl ServerAddress {
    /// The server of an entry of `hosts`: `host`, `host:port`, `[ipv6]:port`, or a path; without a port, on `port`.
    pub fn parse(host: &str, port: u16) -> Self {
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
}

impl fmt::Display for ServerAddress {
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

    #[test]
    fn hosts_are_names_addresses_and_sockets() {
        let network = |host: &str, port| ServerAddress::Network(host.to_owned(), port);
        for (host, expected, shown) in [
            ("db", network("db", 5432), "db:5432"),
            ("db:6432", network("db", 6432), "db:6432"),
            ("::1", network("::1", 5432), "[::1]:5432"),
            ("[::1]", network("::1", 5432), "[::1]:5432"),
            ("[::1]:6432", network("::1", 6432), "[::1]:6432"),
            ("/run/postgresql", ServerAddress::Socket("/run/postgresql".into()), "/run/postgresql"),
        ] {
            let address = ServerAddress::parse(host, 5432);
            assert_eq!((&address, address.to_string().as_str()), (&expected, shown));
        }
    }
}
