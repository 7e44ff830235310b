//! Where and as whom to connect.

use crate::config::{Config, TlsMode};
use hydra_remote::ServerAddress;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

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
        ServerAddress::Socket(directory) => options.socket(directory),
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
