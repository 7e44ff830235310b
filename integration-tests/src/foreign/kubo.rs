//! kubo, the IPFS node in Go, as a client of a private network on loopback.
//!
//! Each node has a repository of its own, dials only over the transport of its bootstrap peer, and is a DHT client
//! without the public network, HTTP routers and mDNS: what it finds, it can only have from the servers under test.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{Missing, Peer, RUN_DEADLINE, tool};

/// The protocol of kubo's DHT on private addresses.
pub const PROTOCOL: &str = "/ipfs/lan/kad/1.0.0";

/// The type of the event of `ipfs routing findprovs` that carries a provider.
const PROVIDER: u8 = 4;

/// The program, ready to run.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

/// A running kubo. It ends when it is dropped.
#[derive(Debug)]
pub struct Kubo {
    program: Program,
    _daemon: Child,
    /// Kept open, so that kubo never meets a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
    repo: TempDir,
    peer: Peer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueryEvent {
    r#type: u8,
    responses: Option<Vec<Told>>,
}

/// A peer as kubo prints it. A list without entries is `null`.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Addrs", alias = "Addresses")]
    addrs: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoutingTable {
    buckets: Option<Vec<Bucket>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Published {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    peers: Option<Vec<Told>>,
}

impl Program {
    /// Finds `ipfs`, kubo's program.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn find() -> Result<Self, Missing> {
        tool("ipfs").map(Self)
    }

    /// The peers that a node begins with on the public network.
    ///
    /// # Errors
    ///
    /// kubo failed.
    pub async fn public_bootstrap(&self) -> io::Result<Vec<String>> {
        let repo = tempfile::tempdir()?;
        self.run(repo.path(), &["init"]).await?;
        let printed = self.run(repo.path(), &["bootstrap", "list", "--expand-auto"]).await?;
        Ok(printed.lines().map(str::to_owned).collect())
    }

    /// The command that runs it on this repository.
    fn command(&self, repo: &Path) -> Command {
        let mut command = Command::new(&self.0);
        command.stdin(Stdio::null()).kill_on_drop(true);
        // kubo reads denylists from the home directory.
        command.env("HOME", repo).env("XDG_CONFIG_HOME", repo);
        // kubo obeys variables of the machine too, such as IPFS_HTTP_ROUTERS, in addition to its config.
        for (name, _) in env::vars_os() {
            if [&b"IPFS_"[..], b"LIBP2P_"].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env("IPFS_PATH", repo.join("ipfs")).env("IPFS_TELEMETRY", "off");
        command
    }

    async fn run(&self, repo: &Path, args: &[&str]) -> io::Result<String> {
        let child = self.command(repo).args(args).output();
        let Output { status, stdout, stderr } = timeout(RUN_DEADLINE, child)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("ipfs {args:?} did not end")))??;
        if !status.success() {
            let said = String::from_utf8_lossy(&stderr);
            return Err(io::Error::other(format!("ipfs {args:?}: {status}: {said}")));
        }
        String::from_utf8(stdout).map_err(io::Error::other)
    }
}

impl Kubo {
    /// Starts a node that joins its network through `bootstrap`, a multiaddr that ends in `/p2p/<peer id>`.
    ///
    /// # Errors
    ///
    /// kubo failed, or was not ready within [`RUN_DEADLINE`].
    pub async fn start(program: &Program, bootstrap: &str) -> io::Result<Self> {
        let repo = tempfile::tempdir()?;
        // Loopback and free ports alone, without bootstrap peers, mDNS, AutoTLS and port mappings.
        program.run(repo.path(), &["init", "--profile=test"]).await?;
        configure(&repo.path().join("ipfs/config"), bootstrap)?;
        let log = repo.path().join("log");
        let mut daemon = program
            .command(repo.path())
            .arg("daemon")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let stdout = daemon.stdout.take().ok_or_else(|| io::Error::other("stdout is not piped"))?;
        let mut lines = BufReader::new(stdout).lines();
        let started = timeout(RUN_DEADLINE, ready(&mut lines)).await.map_err(io::Error::other).flatten();
        if let Err(cause) = started {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            return Err(io::Error::other(format!("{cause}; its log:\n{log}")));
        }
        let itself: Told = parsed(&program.run(repo.path(), &["--enc=json", "id"]).await?)?;
        Ok(Self { program: program.clone(), _daemon: daemon, _stdout: lines, repo, peer: itself.into() })
    }

    /// The node itself, with the addresses that it announces.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Stores a block and returns its content id. The node does not announce it by itself.
    ///
    /// # Errors
    ///
    /// kubo failed.
    pub async fn put_block(&self, content: &str) -> io::Result<String> {
        let file = self.repo.path().join("block");
        std::fs::write(&file, content)?;
        let printed = self.run(&["block", "put", &file.to_string_lossy()]).await?;
        Ok(printed.trim().to_owned())
    }

    /// Announces a stored block to the servers closest to it, and returns once the announcements are sent. They have
    /// no answer, so that the servers may still be about to read them.
    ///
    /// # Errors
    ///
    /// kubo failed, or knows no server.
    pub async fn provide(&self, cid: &str) -> io::Result<()> {
        self.run(&["routing", "provide", cid]).await.map(drop)
    }

    /// Searches for the providers of a content id, with the addresses that servers told.
    ///
    /// # Errors
    ///
    /// kubo failed.
    pub async fn find_providers(&self, cid: &str) -> io::Result<Vec<Peer>> {
        let printed = self.run(&["--enc=json", "routing", "findprovs", cid]).await?;
        let mut providers = Vec::new();
        for line in printed.lines() {
            let event: QueryEvent = parsed(line)?;
            if event.r#type == PROVIDER {
                providers.extend(event.responses.unwrap_or_default().into_iter().map(Peer::from));
            }
        }
        Ok(providers)
    }

    /// What a content id stands for, from its providers if this node does not have it.
    ///
    /// # Errors
    ///
    /// kubo failed, or found nobody who has it.
    pub async fn cat(&self, cid: &str) -> io::Result<String> {
        self.run(&["cat", cid]).await
    }

    /// Publishes what its own name stands for, and returns the name.
    ///
    /// # Errors
    ///
    /// kubo failed, or no server has taken the record.
    pub async fn publish(&self, path: &str) -> io::Result<String> {
        let args = ["--enc=json", "name", "publish", "--allow-offline=false", "--ttl=0s", path];
        let published: Published = parsed(&self.run(&args).await?)?;
        Ok(published.name)
    }

    /// What a name stands for, as the servers have it.
    ///
    /// # Errors
    ///
    /// kubo failed, or no server has a record that is valid.
    pub async fn resolve(&self, name: &str) -> io::Result<String> {
        let args = ["name", "resolve", "--nocache", "--dht-record-count=1", "--dht-timeout=20s", name];
        Ok(self.run(&args).await?.trim().to_owned())
    }

    /// The ids of the servers in its routing table for private addresses.
    ///
    /// # Errors
    ///
    /// kubo failed.
    pub async fn routing_table(&self) -> io::Result<Vec<String>> {
        let table: RoutingTable = parsed(&self.run(&["--enc=json", "stats", "dht", "lan"]).await?)?;
        let buckets = table.buckets.unwrap_or_default().into_iter();
        Ok(buckets.flat_map(|bucket| bucket.peers.unwrap_or_default()).map(|peer| peer.id).collect())
    }

    async fn run(&self, args: &[&str]) -> io::Result<String> {
        self.program.run(self.repo.path(), args).await
    }
}

impl From<Told> for Peer {
    fn from(Told { id, addrs }: Told) -> Self {
        let suffix = format!("/p2p/{id}");
        let bare = |addr: String| addr.strip_suffix(&suffix).map_or_else(|| addr.clone(), str::to_owned);
        Self { addrs: addrs.unwrap_or_default().into_iter().map(bare).collect(), id }
    }
}

/// Changes what `ipfs init` wrote.
fn configure(file: &Path, bootstrap: &str) -> io::Result<()> {
    let quic = bootstrap.contains("/quic-v1");
    let listen = if quic { "/ip4/127.0.0.1/udp/0/quic-v1" } else { "/ip4/127.0.0.1/tcp/0" };
    let mut config: Value = serde_json::from_slice(&std::fs::read(file)?).map_err(io::Error::other)?;
    config["Bootstrap"] = json!([bootstrap]);
    config["Addresses"]["Swarm"] = json!([listen]);
    config["Swarm"]["Transports"]["Network"] = json!({
        "TCP": !quic, "QUIC": quic, "Websocket": false, "WebTransport": false, "WebRTCDirect": false,
    });
    // Another node would else ask this one for its records.
    config["Routing"]["Type"] = json!("dhtclient");
    // A block that is not pinned is announced on demand alone.
    config["Provide"]["Strategy"] = json!("pinned");
    std::fs::write(file, config.to_string())
}

async fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> io::Result<()> {
    while let Some(line) = lines.next_line().await? {
        if line == "Daemon is ready" {
            return Ok(());
        }
    }
    Err(io::Error::other("kubo ended before it was ready"))
}

fn parsed<'a, T: Deserialize<'a>>(printed: &'a str) -> io::Result<T> {
    serde_json::from_str(printed).map_err(|error| io::Error::other(format!("{error}: {printed}")))
}
