//! The pages for operators: a small HTTP server, kept apart from the heads and bounded in all that it does.

mod accept;
mod api;
mod clients;
mod pages;
mod probes;
mod spare;

use crate::config::Http;
use crate::observe::failure_log::FailureLog;
use crate::observe::node_view::NodeView;
use axum::Router;
use clients::Clients;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use spare::Spare;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// Connections at a time; a further one takes the place of another.
const CONNECTIONS_MAX: usize = 32;
/// How long a client has for its request.
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// How long a connection lasts at most, whatever its client does. It serves one request.
const CONNECTION_WAIT: Duration = Duration::from_secs(15);
/// How many bytes a request may have, and how many of an answer wait to be read.
const BUFFER_BYTES_MAX: usize = 16 << 10;
/// The pause after a connection could not be accepted, as when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A listener that nobody is served at yet. Clients that connect wait.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// The running server. It ends when it is dropped, and its connections with it.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Takes the address of the config, if it wants the pages.
///
/// # Errors
/// When it cannot be listened on.
pub(crate) async fn bind(config: &Http) -> io::Result<Option<Bound>> {
    if !config.enabled {
        return Ok(None);
    }
    let listener = TcpListener::bind(config.listen).await?;
    let address = listener.local_addr()?;
    if can_be_reached(address.ip()) {
        tracing::warn!(
            %address,
            "other machines can reach the HTTP endpoints, which have no authentication (telemetry.http.listen)"
        );
    }
    Ok(Some(Bound { listener, address }))
}

/// Whether other machines may reach what listens there.
fn can_be_reached(ip: IpAddr) -> bool {
    !ip.to_canonical().is_loopback()
}

impl Bound {
    /// Serves the pages of a node.
    pub(crate) fn serve(self, node_view: Arc<NodeView>) -> Server {
        let Self { listener, address } = self;
        Server { address, task: tokio::spawn(accept_all(listener, pages::router(node_view))) }
    }
}

impl Server {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, whatever its clients do, and waits until the address is free.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        // It was ended: that is what the error says.
        let _ended = (&mut self.task).await.is_err();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(listener: TcpListener, pages: Router) {
    let mut connections = JoinSet::new();
    let mut clients = Clients::default();
    let mut failures = FailureLog::default();
    let mut spare = Spare::default();
    spare.set_aside();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let _was_logged = failures.end();
                    if connections.len() >= CONNECTIONS_MAX {
                        clients.make_room();
                        // At once: it was ended, or has ended by itself.
                        let _ended = connections.join_next().await;
                    }
                    clients.add(from.ip(), connections.spawn(serve(stream, pages.clone())));
                }
                Err(cause) => {
                    if failures.is_news(&cause.to_string(), Instant::now()) {
                        tracing::warn!(error = %cause, "cannot accept a connection to the HTTP endpoints");
                    }
                    // A descriptor of its own is free for this connection at once.
                    if !spare.release() {
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
            Some(_ended) = connections.join_next(), if !connections.is_empty() => spare.set_aside(),
        }
    }
}

async fn serve(stream: TcpStream, pages: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WAIT)
        .keep_alive(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    // A client that broke off, or was too slow, is no news.
    if let Ok(Err(cause)) = timeout(CONNECTION_WAIT, connection).await {
        tracing::debug!(error = %cause, "a connection to the HTTP endpoints failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    /// Asks for a page from this address, and reads nothing.
    async fn asked(server: SocketAddr, from: &str, page: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let mut stream = socket.connect(server).await.unwrap();
        stream.write_all(format!("GET {page} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn clients_that_do_not_read_keep_nobody_out() {
        let long = axum::body::Bytes::from(vec![b'x'; 64 << 20]);
        let pages = Router::new()
            .route("/long", get(move || std::future::ready(long.clone())))
            .route("/short", get(|| std::future::ready("here")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server { address, task: tokio::spawn(accept_all(listener, pages)) };
        let mut slow = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            slow.push(asked(address, "127.0.0.2", "/long").await);
        }
        // Of the host that holds all places, and of another one.
        for from in ["127.0.0.1", "127.0.0.2", "127.0.0.1"] {
            let mut answer = Vec::new();
            let mut stream = asked(address, from, "/short").await;
            let read = timeout(CONNECTION_WAIT / 2, stream.read_to_end(&mut answer)).await;
            read.expect("answered before the slow ones are cut off").unwrap();
            assert!(answer.ends_with(b"here"), "{from}");
        }
        server.stop().await;
    }

    #[test]
    fn loopback_alone_cannot_be_reached_from_elsewhere() {
        for (ip, reached) in [
            ("127.0.0.1", false),
            ("127.1.2.3", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("0.0.0.0", true),
            ("::", true),
            ("10.0.0.1", true),
        ] {
            assert_eq!(can_be_reached(ip.parse().unwrap()), reached, "{ip}");
        }
    }
}
