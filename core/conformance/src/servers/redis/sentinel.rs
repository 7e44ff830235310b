//! A Redis master with replicas, watched by sentinels.

use super::super::{PATIENCE, PAUSE, Process, free_port, wait};
use super::{Redis, resp};
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// A master, a replica and three sentinels that know the master as `hydra`. Stopped when dropped.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The master at the start, and then the replica.
    pub servers: Vec<Redis>,
    ports: Vec<u16>,
    _sentinels: Vec<(Process, TempDir)>,
}

impl RedisSentinel {
    /// Starts them; a dead master is replaced after some seconds.
    ///
    /// # Errors
    /// If they do not start.
    pub fn start(program: &Path) -> io::Result<Self> {
        Self::start_with(program, &[])
    }

    /// As [`Self::start`], of a master with these settings.
    ///
    /// # Errors
    /// If they do not start.
    pub fn start_with(program: &Path, settings: &[&str]) -> io::Result<Self> {
        let master = Redis::start(program, &[&["--repl-diskless-sync-delay", "0"], settings].concat())?;
        let port = master.port().to_string();
        let replica = Redis::start(program, &["--replicaof", "127.0.0.1", &port])?;
        let config = format!(
            "sentinel monitor hydra 127.0.0.1 {port} 2\nsentinel down-after-milliseconds hydra 1000\n\
             sentinel failover-timeout hydra 5000\n"
        );
        let (mut ports, mut sentinels) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (home, port) = (tempfile::tempdir()?, free_port()?);
            let file = home.path().join("sentinel.conf");
            std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n{config}"))?;
            let mut command = Command::new(program);
            command.arg(&file).arg("--sentinel");
            let mut process = Process::start(&command, "TERM", File::create(home.path().join("log"))?)?;
            wait(&mut process, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
            ports.push(port);
            sentinels.push((process, home));
        }
        Ok(Self { servers: vec![master, replica], ports, _sentinels: sentinels })
    }

    /// The ports of the sentinels on 127.0.0.1.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Waits until the replica has what the master has.
    ///
    /// # Errors
    /// If one of them does not answer, or it takes too long.
    pub fn until_replicated(&self) -> io::Result<()> {
        let since = Instant::now();
        let offset = |server: &Redis, name: &str| -> io::Result<Option<String>> {
            let info = server.command(&["INFO", "replication"])?;
            Ok(info.lines().find_map(|line| line.trim().strip_prefix(name).map(str::to_owned)))
        };
        let [master, replica] = &self.servers[..] else { return Ok(()) };
        let wanted = offset(master, "master_repl_offset:")?.and_then(|offset| offset.parse::<u64>().ok());
        loop {
            let is_linked = offset(replica, "master_link_status:")?.is_some_and(|status| status == "up");
            let has = offset(replica, "slave_repl_offset:")?.and_then(|offset| offset.parse::<u64>().ok());
            if is_linked && has >= wanted {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Runs a command at the first sentinel.
    ///
    /// # Errors
    /// If it fails.
    pub fn command(&self, command: &[&str]) -> io::Result<String> {
        resp::ask(self.ports[0], command)
    }
}
