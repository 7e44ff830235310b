//! `hydra status`: what a running node does, from its HTTP endpoints.

mod table;

use super::args::StatusArgs;
use super::{Failure, Output};
use crate::config::Config;
use crate::node::presence;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take. The node measures for a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read: that of ten thousand heads has a few megabytes.
const BYTES_MAX: u64 = 64 << 20;

/// Prints the state of the node that runs on the data directory, or at the address of the arguments.
pub(crate) async fn status(config: &Config, args: &StatusArgs, out: &mut Output) -> Result<(), Failure> {
    let address = match args.http {
        Some(address) => address,
        None => of_running(config)?,
    };
    let (status, heads) = tokio::join!(page(address, "/api/v1/status"), page(address, "/api/v1/heads"));
    let failed = |cause| Failure::failed(&format!("cannot read the HTTP endpoints at {address}"), cause);
    let (status, mut heads) = (status.map_err(failed)?, heads.map_err(failed)?);
    if args.json || !out.is_terminal() {
        let whole = json!({ "status": status, "heads": heads["heads"].take() });
        return Ok(out.line(whole)?);
    }
    Ok(out.text(table::shown(&status, &heads))?)
}

/// The HTTP endpoints of the node that runs on the data directory.
fn of_running(config: &Config) -> Result<SocketAddr, Failure> {
    let dir = config.data_dir.display();
    let Some(node) = presence::running(&config.data_dir) else {
        let text = format!("no node runs on {dir}: start one with `hydra run`, or set --http");
        return Err(Failure::Failed(text));
    };
    node.http.ok_or_else(|| {
        let pid = node.pid;
        Failure::Failed(format!(
            "the node that runs on {dir} (process {pid}) has no HTTP endpoints: set telemetry.http.enabled"
        ))
    })
}

/// One page, which is JSON.
async fn page(address: SocketAddr, path: &str) -> io::Result<Value> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(BYTES_MAX).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await??;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    let line = head.lines().next().unwrap_or_default();
    if !line.contains(" 200 ") {
        return Err(io::Error::other(format!("{path} is answered with {line}")));
    }
    serde_json::from_str(body).map_err(io::Error::other)
}
