//! A pooler before PostgreSQL.

use super::postgres::as_user;
use super::{Postgres, Process, free_port, wait};
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

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
        std::fs::write(&config, settings(server.port(), port, connections_max, home.path()))?;
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
