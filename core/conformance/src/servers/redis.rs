//! A Redis server, and what is made of several.

mod cluster;
mod resp;
mod sentinel;

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;

use super::{Process, free_port, not_running, wait};
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A Redis or Valkey server. Stopped when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    program: PathBuf,
    port: u16,
    home: TempDir,
    settings: Vec<String>,
}

impl Redis {
    /// The server program of Redis: that of the variable `HYDRA_TEST_REDIS`, or Debian's. None if it is not installed.
    pub fn installed() -> Option<PathBuf> {
        let named = std::env::var_os("HYDRA_TEST_REDIS").map(PathBuf::from);
        named.or_else(|| Some(PathBuf::from("/usr/bin/redis-server")).filter(|program| program.exists()))
    }

    /// The server program of Valkey, of the variable `HYDRA_TEST_VALKEY`. None if it is not named.
    pub fn valkey() -> Option<PathBuf> {
        std::env::var_os("HYDRA_TEST_VALKEY").map(PathBuf::from)
    }

    /// The version of a server program, as major and minor number. None if it does not tell.
    pub fn version(program: &Path) -> Option<(u32, u32)> {
        // "Redis server v=7.0.15 sha=…", "Valkey server v=9.1.2 …"
        let said = Command::new(program).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut numbers = said.split_once("v=")?.1.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// True if a server program is built with TLS: such a one misses the certificate, another one TLS or the setting itself.
    pub fn has_tls(program: &Path) -> bool {
        let ended = Command::new(program).args(["--port", "0", "--tls-port", "1", "--save", ""]).output();
        ended
            .is_ok_and(|ended| String::from_utf8_lossy(&ended.stdout).contains("No tls-cert-file configured"))
    }

    /// Starts a server with these settings, each as a name and a value: `["--maxmemory", "10mb"]`. It listens on a free port of
    /// 127.0.0.1, unless the settings say otherwise, and keeps nothing unless they do.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &Path, settings: &[&str]) -> io::Result<Self> {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let home = tempfile::tempdir()?;
        let mut server =
            Self { process: None, program: program.to_owned(), port: free_port()?, home, settings };
        server.launch()?;
        Ok(server)
    }

    /// Starts it again on the same port, with the files of before.
    ///
    /// # Errors
    /// If it does not start.
    pub fn launch(&mut self) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(self.home.path()).args(&self.settings);
        let log = File::options().create(true).append(true).open(self.home.path().join("log"))?;
        let mut process = Process::start(&command, "TERM", log)?;
        let port = self.port;
        wait(&mut process, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        self.process = Some(process);
        Ok(())
    }

    /// Sends it a command; the answer as text, an array as a line for each of its values.
    ///
    /// # Errors
    /// If it cannot be sent or the server answers with an error.
    pub fn command(&self, command: &[&str]) -> io::Result<String> {
        resp::ask(self.port, command)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The pid of the server; none while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// The directory of its files, and of its log in the file `log`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Sends it a signal, such as `KILL` or `STOP`.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        self.process.as_ref().ok_or_else(not_running)?.signal(signal)
    }

    /// Stops it in order; [`Self::launch`] starts it again.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Kills it as a crash does; [`Self::launch`] starts it again.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal("KILL")?;
        self.stop();
        Ok(())
    }
}
