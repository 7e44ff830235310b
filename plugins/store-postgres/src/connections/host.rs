//! Where and as whom to connect.

use crate::config::{Config, TlsMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// How to connect with the host of this number, with the password as it is now.
pub(super) fn options(config: &Config, host: usize) -> Result<PgConnectOptions, sqlx::Error> {
    let host = &config.hosts[host % config.hosts.len()];
    let mode = match config.tls.mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .username(&config.user)
        .database(&config.database)
        .application_name("hydra")
        // Poolers refuse parameters of the start that they do not know; floating-point numbers are not read.
        .extra_float_digits(None)
        .ssl_mode(mode);
    options = match split(host) {
        Host::Socket(directory) => options.socket(directory),
        Host::Network(name, port) => options.host(name).port(port),
    };
    if let Some(password) = &config.password {
        let password = password.read().map_err(|error| sqlx::Error::Configuration(error.into()))?;
        options = options.password(password.expose());
    }
    for (file, set) in [
        (&config.tls.root_cert_file, PgConnectOptions::ssl_root_cert as fn(_, _) -> _),
        (&config.tls.client_cert_file, PgConnectOptions::ssl_client_cert),
        (&config.tls.client_key_file, PgConnectOptions::ssl_client_key),
    ] {
        if let Some(file) = file {
            options = set(options, file.clone());
        }
    }
    Ok(options)
}

#[derive(Debug, PartialEq, Eq)]
enum Host<'h> {
    Socket(&'h str),
    Network(&'h str, u16),
}

const PORT: u16 = 5432;

fn split(host: &str) -> Host<'_> {
    if host.starts_with('/') {
        return Host::Socket(host);
    }
    if let Some((inner, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
        return Host::Network(inner, port.unwrap_or(PORT));
    }
    match host.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) if !name.contains(':') => Host::Network(name, port),
        _ => Host::Network(host, PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_sockets() {
        for (host, expected) in [
            ("db", Host::Network("db", 5432)),
            ("db:6432", Host::Network("db", 6432)),
            ("::1", Host::Network("::1", 5432)),
            ("[::1]:6432", Host::Network("::1", 6432)),
            ("/run/postgresql", Host::Socket("/run/postgresql")),
        ] {
            assert_eq!(split(host), expected);
        }
    }
}
