//! A small HTTP client, for the operator pages of a node.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its status, 200 for example.
    pub status: u16,
    /// Its headers, the names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its text.
    pub body: String,
}

impl Page {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Asks for a page. Each header is `Name: value`.
///
/// # Errors
/// When there is no answer.
pub async fn get(address: SocketAddr, path: &str, headers: &[&str]) -> io::Result<Page> {
    ask(address, "GET", path, headers).await
}

/// Makes one request on a connection of its own.
///
/// # Errors
/// When there is no answer.
pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> io::Result<Page> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        // The server closes after one answer.
        stream.read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await??;
    parse(&answer).ok_or_else(|| io::Error::other(format!("no HTTP: {answer}")))
}

fn parse(answer: &str) -> Option<Page> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    };
    Some(Page { status, headers: lines.map(header).collect::<Option<_>>()?, body: body.to_owned() })
}
