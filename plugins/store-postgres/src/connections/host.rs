//! Where and as whom to connect.

use crate::config::{Config, TlsMode};
use hydra_remote::ServerAddress;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::path::{Path, PathBuf};

const PORT: u16 = 5432;

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
    options = match ServerAddress::parse(host, PORT) {
        ServerAddress::Socket(path) => {
            let (directory, port) = socket(&path);
            options.socket(directory).port(port)
        }
        ServerAddress::Network(name, port) => options.host(&name).port(port),
    };
    // It logs each statement that takes long: those of a server that is slow or stands still would fill the log.
    options = options.disable_statement_logging();
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

/// A host as messages name it: a socket by its file.
pub(crate) fn shown(host: &str) -> String {
    match ServerAddress::parse(host, PORT) {
        ServerAddress::Socket(path) => {
            let (directory, port) = socket(&path);
            directory.join(format!(".s.PGSQL.{port}")).display().to_string()
        }
        address @ ServerAddress::Network(..) => address.to_string(),
    }
}

/// The directory of a socket and the port that is part of its name, from `directory` or `directory:port`.
fn socket(path: &Path) -> (PathBuf, u16) {
    let with_port = path.to_str().and_then(|path| path.rsplit_once(':'));
    match with_port.map(|(directory, port)| (directory, port.parse())) {
        Some((directory, Ok(port))) if port > 0 => (directory.into(), port),
        _ => (path.to_owned(), PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_in_its_directory_under_its_port() {
        for (host, directory, port) in [
            ("/run/postgresql", "/run/postgresql", 5432),
            ("/run/postgresql:55432", "/run/postgresql", 55_432),
            ("/run/a:b", "/run/a:b", 5432),
        ] {
            let config = Config { hosts: vec![host.to_owned()], ..Config::default() };
            let options = options(&config, 0).unwrap();
            assert_eq!(options.get_socket().map(|path| path.as_path()), Some(Path::new(directory)), "{host}");
            assert_eq!(options.get_port(), port, "{host}");
            assert_eq!(shown(host), format!("{directory}/.s.PGSQL.{port}"));
        }
        assert_eq!(shown("db"), "db:5432");
    }
}
