//! A node under test, in a process of its own that ends with the test.

use crate::exposition::{Exposition, Format};
use crate::http::{self, Page};
use crate::measure;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a node may take to be ready, and to stop. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(120);
/// What every node under test is told first: loopback alone, free ports, nothing exempt from admission by mistake.
const SETTINGS: [&str; 3] =
    ["heads.listen=[\"127.0.0.1\"]", "ids.port_base=0", "telemetry.http.listen=\"127.0.0.1:0\""];

/// A running node.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// Kept open, so that the node never meets a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
    heads: Vec<Head>,
    http: Option<SocketAddr>,
    home: Home,
}

/// Where a node keeps its files and its log; gone when the last user is.
#[derive(Debug, Clone)]
pub struct Home(std::sync::Arc<TempDir>);

/// A head as the node printed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its id.
    pub peer: PeerId,
    /// Where it listens, each with `/p2p/` and the id.
    pub addresses: Vec<Multiaddr>,
}

impl Home {
    /// A new, empty one.
    ///
    /// # Errors
    /// When no temporary directory can be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self(std::sync::Arc::new(tempfile::tempdir()?)))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The node's log so far, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.path().join("log")
    }
}

impl Head {
    /// Its address over TCP.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn tcp(&self) -> &Multiaddr {
        self.with(|part| matches!(part, Protocol::Tcp(_)))
    }

    /// Its address over QUIC.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn quic(&self) -> &Multiaddr {
        self.with(|part| matches!(part, Protocol::QuicV1))
    }

    fn with(&self, is: impl Fn(&Protocol<'_>) -> bool) -> &Multiaddr {
        let found = self.addresses.iter().find(|address| address.iter().any(|part| is(&part)));
        found.expect("the head listens on every transport")
    }
}

impl Node {
    /// Starts a node in a directory of its own. Each setting is `key=value`, as for `--set`.
    ///
    /// # Errors
    /// When it ends before it is ready; the error has its log.
    pub async fn start(settings: &[&str]) -> io::Result<Self> {
        Self::start_in(&Home::new()?, settings).await
    }

    /// Starts a node in a directory that another one may have used before.
    ///
    /// # Errors
    /// When it ends before it is ready; the error has its log.
    pub async fn start_in(home: &Home, settings: &[&str]) -> io::Result<Self> {
        Self::launch(home, command(&program()?, home, settings)).await
    }

    /// Starts a node as [`Self::start_in`] does, with these variables in its environment.
    ///
    /// # Errors
    /// When it ends before it is ready; the error has its log.
    pub async fn start_with(home: &Home, settings: &[&str], variables: &[(&str, &str)]) -> io::Result<Self> {
        let mut command = command(&program()?, home, settings);
        command.envs(variables.iter().copied());
        Self::launch(home, command).await
    }

    /// Starts a node by this command, such as [`command`] makes it for another program with the command line of hydra.
    ///
    /// # Errors
    /// When it ends before it is ready; the error has its log.
    pub async fn launch(home: &Home, mut command: Command) -> io::Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(home.log_file())?;
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let told = timeout(PATIENCE, ready(&mut lines)).await.map_err(io::Error::other).flatten();
        match told {
            Ok((heads, http)) => Ok(Self { child, _stdout: lines, heads, http, home: home.clone() }),
            Err(cause) => Err(io::Error::other(format!("{cause}; its log:\n{}", home.log()))),
        }
    }

    /// Starts a node that is to end by itself, and returns how it ended and what it wrote to its log.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn refused(home: &Home, settings: &[&str]) -> io::Result<(ExitStatus, String)> {
        Self::refused_with(home, settings, &[]).await
    }

    /// As [`Self::refused`], with these variables in its environment.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn refused_with(
        home: &Home,
        settings: &[&str],
        variables: &[(&str, &str)],
    ) -> io::Result<(ExitStatus, String)> {
        let output = command(&program()?, home, settings).envs(variables.iter().copied()).output();
        let output = timeout(PATIENCE, output).await.map_err(io::Error::other)??;
        Ok((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// The heads, by slot.
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Where its operator pages are, if it printed that.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// One of its operator pages.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn page(&self, path: &str) -> io::Result<Page> {
        let address = self.http.ok_or_else(|| io::Error::other("the node has no operator pages"))?;
        http::get(address, path, &[]).await
    }

    /// What it has counted by now.
    ///
    /// # Errors
    /// When it does not answer, or not in Prometheus' text format.
    pub async fn metrics(&self) -> io::Result<Exposition> {
        let page = self.page("/metrics").await?;
        Exposition::parse(&page.body, Format::Text).map_err(io::Error::other)
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the node runs")
    }

    /// Memory that the process holds, in bytes (`VmRSS`).
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        measure::memory_bytes(self.pid())
    }

    /// CPU time that the process has used.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        measure::cpu_time(self.pid())
    }

    /// Open file descriptors of the process.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Threads of the process.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn threads(&self) -> io::Result<u64> {
        measure::threads(self.pid())
    }

    /// The names of the threads of the process, each cut to 15 bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn thread_names(&self) -> io::Result<Vec<String>> {
        measure::thread_names(self.pid())
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    /// When that cannot be asked.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Asks it to stop, as an operator would, and does not wait.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn terminate(&self) -> io::Result<()> {
        Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().await.map(drop)
    }

    /// Asks it to stop, as an operator would, and waits until it has.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(self) -> io::Result<ExitStatus> {
        self.terminate().await?;
        self.ended().await
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn ended(mut self) -> io::Result<ExitStatus> {
        timeout(PATIENCE, self.child.wait()).await.map_err(io::Error::other)?
    }

    /// Ends it at once, as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

/// The command that runs a node of this program, on loopback at free ports. Each setting is `key=value`, as for `--set`.
#[must_use]
pub fn command(program: &Path, home: &Home, settings: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home.path()).arg("run").stdin(Stdio::null()).kill_on_drop(true);
    // What the tests are told by their environment is not meant for the node, which refuses keys that it does not know
    // and would send its traces to a collector.
    for (name, _) in std::env::vars_os() {
        if [&b"HYDRA_"[..], b"OTEL_"].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    for setting in SETTINGS.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command
}

/// What it prints until it is ready: its heads, and where its operator pages are.
async fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> io::Result<(Vec<Head>, Option<SocketAddr>)> {
    let mut heads: Vec<Head> = Vec::new();
    let mut http = None;
    while let Some(line) = lines.next_line().await? {
        if line == "ready" {
            return Ok((heads, http));
        }
        if let Some(address) = line.strip_prefix("http http://") {
            http = Some(address.parse().map_err(io::Error::other)?);
            continue;
        }
        let malformed = || io::Error::other(format!("unexpected line: {line}"));
        let mut words = line.split(' ');
        let (Some("head"), Some(slot), Some(address)) = (words.next(), words.next(), words.next()) else {
            return Err(malformed());
        };
        let slot: usize = slot.parse().map_err(io::Error::other)?;
        let address: Multiaddr = address.parse().map_err(io::Error::other)?;
        let Some(Protocol::P2p(peer)) = address.iter().last() else { return Err(malformed()) };
        if slot == heads.len() {
            heads.push(Head { peer, addresses: Vec::new() });
        }
        heads.get_mut(slot).ok_or_else(malformed)?.addresses.push(address);
    }
    Err(io::Error::other("the node ended before it was ready"))
}

/// The program, built beside the tests.
///
/// # Errors
/// When it is not there.
pub fn program() -> io::Result<PathBuf> {
    let beside = std::env::current_exe()?;
    let found =
        beside.ancestors().skip(1).take(2).map(|dir| dir.join("hydra-under-test")).find(|path| path.exists());
    found.ok_or_else(|| {
        io::Error::other("hydra-under-test is not built: run the tests of this package with cargo")
    })
}
