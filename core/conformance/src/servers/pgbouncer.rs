//! A pooler before PostgreSQL.

use super::postgres::as_user;
use super::{Postgres, Process, free_port, wait};
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The first version that knows prepared statements of clients.
const PREPARES: (u32, u32) = (1, 21);

/// pgbouncer in transaction mode before a [`Postgres`]. Stopped when dropped.
#[derive(Debug)]
pub struct PgBouncer {
    _process: Process,
    port: u16,
    _home: TempDir,
}

impl PgBouncer {
    /// The program: that of the variable `HYDRA_TEST_PGBOUNCER`, or Debian's. None if it is not installed.
    pub fn installed() -> Option<PathBuf> {
        let named = std::env::var_os("HYDRA_TEST_PGBOUNCER").map(PathBuf::from);
        named.or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer"))).filter(|path| path.exists())
    }

    /// The version of the program, as major and minor number. None if it does not tell.
    pub fn version(program: &Path) -> Option<(u32, u32)> {
        // "PgBouncer 1.18.0"
        let said = Command::new(program).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut numbers = said.strip_prefix("PgBouncer ")?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// True if the pooler that is installed knows prepared statements of clients.
    pub fn prepares() -> bool {
        Self::installed()
            .and_then(|program| Self::version(&program))
            .is_some_and(|version| version >= PREPARES)
    }

    /// Starts a pooler that opens at most `connections_max` connections to this server.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn start(server: &Postgres, connections_max: u32) -> io::Result<Self> {
        let program = Self::installed().ok_or_else(|| io::Error::other("pgbouncer is not installed"))?;
        let home = tempfile::tempdir()?;
        super::own(home.path())?;
        let port = free_port()?;
        let config = home.path().join("pgbouncer.ini");
        let mut text = settings(server.port(), port, connections_max, home.path());
        if Self::version(&program).is_some_and(|version| version >= PREPARES) {
            // 0, which was the default until 1.23, is without them.
            text.push_str("max_prepared_statements = 100\n");
        }
        std::fs::write(&config, text)?;
        let mut command = as_user(&program);
        command.arg(&config);
        let log = File::options().create(true).append(true).open(home.path().join("log"))?;
        let mut process = Process::start(&command, "TERM", log)?;
        wait(&mut process, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { _process: process, port, _home: home })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn settings(server: u16, port: u16, connections_max: u32, home: &Path) -> String {
    let home = home.display();
    format!(
        "[databases]\n\
         hydra = host=127.0.0.1 port={server} dbname=hydra user=hydra\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir = {home}\n\
         auth_type = any\n\
         pool_mode = transaction\n\
         default_pool_size = {connections_max}\n\
         max_client_conn = 1000\n"
    )
}
