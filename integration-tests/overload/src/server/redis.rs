//! Redis.

use super::Counts;
use hydra_conformance::servers::Redis;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// As config/redis.toml asks for.
const SETTINGS: [&str; 8] = [
    "--maxmemory",
    "4gb",
    "--maxmemory-policy",
    "noeviction",
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
];
/// The directory of the log of writes.
const LOG: &str = "appendonlydir";
/// How long the log of writes may take to be rewritten.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn start() -> io::Result<Redis> {
    let program = Redis::installed().ok_or_else(|| io::Error::other("Redis is not installed"))?;
    Redis::start(&program, &SETTINGS)
}

/// Where what is kept is, beside the files of the server.
const KEPT: &str = "kept";

/// Keeps the log of writes, after it was rewritten.
pub(super) fn keep(server: &Redis) -> io::Result<()> {
    settle(server)?;
    let (from, to) = (server.home().join(LOG), server.home().join(KEPT));
    std::fs::create_dir_all(&to)?;
    copy(&from, &to)
}

/// Starts it again with the log that was kept.
pub(super) fn renew(server: &mut Redis) -> io::Result<()> {
    server.stop();
    let (from, to) = (server.home().join(KEPT), server.home().join(LOG));
    std::fs::remove_dir_all(&to)?;
    std::fs::create_dir_all(&to)?;
    copy(&from, &to)?;
    restarted(server)
}

/// Starts it, and waits until it has read its log.
fn restarted(server: &mut Redis) -> io::Result<()> {
    server.launch()?;
    let since = Instant::now();
    while server.command(&["INFO", "persistence"]).map_or(1.0, |info| field(&info, "loading")) > 0.0 {
        if since.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Kills it and starts it again.
pub(super) fn restart(server: &mut Redis) -> io::Result<()> {
    server.kill()?;
    restarted(server)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name() {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// A rewrite of its log that is due would be made by a child, under the quota.
fn settle(server: &Redis) -> io::Result<()> {
    let is_rewriting = || -> io::Result<bool> {
        let info = server.command(&["INFO", "persistence"])?;
        Ok(["aof_rewrite_in_progress", "aof_rewrite_scheduled"].iter().any(|name| field(&info, name) > 0.0))
    };
    let since = Instant::now();
    let is_late = || since.elapsed() > PATIENCE;
    while is_rewriting()? && !is_late() {
        std::thread::sleep(Duration::from_millis(100));
    }
    server.command(&["BGREWRITEAOF"])?;
    while is_rewriting()? && !is_late() {
        std::thread::sleep(Duration::from_millis(100));
    }
    if is_late() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}

/// A connection that asks for INFO. The server answers it within its quota, as one command of many.
#[derive(Debug)]
pub(crate) struct RedisProbe {
    stream: BufReader<TcpStream>,
    /// Its own commands.
    asked: u64,
}

impl RedisProbe {
    pub(super) async fn connect(port: u16) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?), asked: 0 })
    }

    pub(super) async fn counts(&mut self) -> io::Result<Counts> {
        let info = self.info().await?;
        Ok(counts(&info, self.asked))
    }

    async fn info(&mut self) -> io::Result<String> {
        self.stream.write_all(b"INFO\r\n").await?;
        let mut header = String::new();
        self.stream.read_line(&mut header).await?;
        let len = header.trim_end().strip_prefix('$').and_then(|len| len.parse().ok());
        let len: usize = len.ok_or_else(|| io::Error::other(format!("not an answer to INFO: {header}")))?;
        // A line feed follows.
        let mut text = vec![0; len + 2];
        self.stream.read_exact(&mut text).await?;
        self.asked += 1;
        String::from_utf8(text).map_err(io::Error::other)
    }
}

/// What INFO says, without the connection that asks and the commands that it has sent before this one.
fn counts(info: &str, asked: u64) -> Counts {
    Counts {
        statements: field(info, "total_reads_processed") - asked as f64,
        commands: field(info, "total_commands_processed") - asked.saturating_sub(1) as f64,
        active: field(info, "connected_clients") - 1.0,
        connections: field(info, "total_connections_received") - 1.0,
    }
}

/// A number of INFO; 0 if it is not there.
fn field(info: &str, name: &str) -> f64 {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
    info.lines().find_map(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_without_the_probe_itself() {
        let info = "# Stats\r\ntotal_connections_received:9\r\ntotal_commands_processed:120\r\n\
                    total_reads_processed:41\r\n\
                    # Clients\r\nconnected_clients:6\r\nconnected_clients_peak:50\r\n";
        let expected = Counts { statements: 20.0, commands: 100.0, active: 5.0, connections: 8.0 };
        assert_eq!(counts(info, 21), expected);
        assert_eq!(field(info, "blocked_clients"), 0.0);
    }
}
