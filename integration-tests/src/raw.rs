//! A peer that opens bare streams and writes on them whatever a test wants.

mod swarm;

use futures::{AsyncReadExt, AsyncWriteExt};
use hydra_kad::{Answer, AskError, Limits, Request};
use libp2p::core::Multiaddr;
use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, Stream};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use swarm::Order;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long an answer may take. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);
/// Orders to the swarm that wait; a test gives one at a time.
const ORDERS_MAX: usize = 64;

/// A peer whose streams are bare. Its connections end with it and its last stream.
#[derive(Debug)]
pub struct RawPeer {
    /// Its id.
    pub id: PeerId,
    orders: mpsc::Sender<Order>,
    alive: Arc<Alive>,
}

/// Ends the peer's task with its last holder.
#[derive(Debug)]
struct Alive(AbortHandle);

/// One of its connections.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    peer: PeerId,
    id: ConnectionId,
}

/// A stream of the protocol, with nothing on it yet.
#[derive(Debug)]
pub struct RawStream(Stream, #[expect(dead_code, reason = "held for its drop")] Arc<Alive>);

/// How a stream went on after a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The remote closed it in order.
    Closed,
    /// The remote reset it.
    Reset,
}

impl RawPeer {
    /// A peer that opens streams of this protocol.
    ///
    /// # Panics
    /// When its swarm cannot be made.
    #[must_use]
    pub fn new(protocol: &'static str) -> Self {
        let swarm = swarm::build(protocol);
        let (orders, to_do) = mpsc::channel(ORDERS_MAX);
        let (id, task) = (*swarm.local_peer_id(), tokio::spawn(swarm::drive(swarm, to_do)).abort_handle());
        Self { id, orders, alive: Arc::new(Alive(task)) }
    }

    /// Connects to the head at `address`, which ends in its id, once more.
    ///
    /// # Errors
    /// When the head does not take it.
    pub async fn connect(&self, address: &Multiaddr) -> io::Result<Connection> {
        let (peer, address) = crate::peer::parted(address);
        let (told, connected) = oneshot::channel();
        self.order(Order::Connect(peer, address, told)).await?;
        let id = timeout(PATIENCE, connected).await?.map_err(io::Error::other)??;
        Ok(Connection { peer, id })
    }

    /// Opens a stream over this connection.
    ///
    /// # Errors
    /// When the head refuses it, or the connection is gone.
    pub async fn open(&self, over: Connection) -> io::Result<RawStream> {
        let (told, opened) = oneshot::channel();
        self.order(Order::Open(over.peer, over.id, told)).await?;
        let stream = timeout(PATIENCE, opened).await?.map_err(io::Error::other)??;
        Ok(RawStream(stream, Arc::clone(&self.alive)))
    }

    /// Connects to a head and opens a stream.
    ///
    /// # Errors
    /// When the head takes neither.
    pub async fn stream(&self, address: &Multiaddr) -> io::Result<RawStream> {
        self.open(self.connect(address).await?).await
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).await.map_err(|_| io::Error::other("the peer has ended"))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RawStream {
    /// Writes these bytes.
    ///
    /// # Errors
    /// When the stream is reset.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Writes a whole request.
    ///
    /// # Errors
    /// When the stream is reset.
    pub async fn send(&mut self, request: &Request) -> io::Result<()> {
        self.write(&framed(&request.encode())).await
    }

    /// Reads one frame, without its length.
    ///
    /// # Errors
    /// When the stream ends instead.
    pub async fn frame(&mut self) -> io::Result<Vec<u8>> {
        timeout(PATIENCE, async {
            let (mut len, mut byte) = (0usize, [0]);
            for shift in (0..28).step_by(7) {
                self.0.read_exact(&mut byte).await?;
                len |= usize::from(byte[0] & 0x7f) << shift;
                if byte[0] & 0x80 == 0 {
                    break;
                }
            }
            let mut frame = vec![0; len];
            self.0.read_exact(&mut frame).await?;
            Ok(frame)
        })
        .await?
    }

    /// Sends a request and reads the answer to it.
    ///
    /// # Errors
    /// When the stream ends instead, or something else is answered.
    pub async fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.send(request).await?;
        let frame = self.frame().await?;
        let answer = Answer::decode(frame.into(), request.kind(), &Limits::default());
        answer.map_err(|cause: AskError| io::Error::other(cause))
    }

    /// Closes this side.
    ///
    /// # Errors
    /// When the stream is reset.
    pub async fn close(&mut self) -> io::Result<()> {
        self.0.close().await
    }

    /// Reads until the remote ends the stream: what was there, and how it ended.
    ///
    /// Yamux shows a reset as an end; but unlike after a half-close, nothing can be written then. So this side must be
    /// open.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn end(&mut self) -> io::Result<(Vec<u8>, Ended)> {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await?;
        let reset = read.is_err() || self.0.write_all(&[0]).await.is_err() || self.0.flush().await.is_err();
        Ok((rest, if reset { Ended::Reset } else { Ended::Closed }))
    }

    /// Whether the remote resets the stream without having sent anything.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn is_reset(&mut self) -> io::Result<bool> {
        let (rest, ended) = self.end().await?;
        Ok(rest.is_empty() && ended == Ended::Reset)
    }
}

/// A frame of these bytes: their length before them.
#[must_use]
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = declared(bytes.len() as u64);
    frame.extend_from_slice(bytes);
    frame
}

/// The beginning of a frame that is said to be so long.
#[must_use]
pub fn declared(mut len: u64) -> Vec<u8> {
    let mut prefix = Vec::new();
    while len >= 0x80 {
        prefix.push(len as u8 | 0x80);
        len >>= 7;
    }
    prefix.push(len as u8);
    prefix
}
