//! Asking another peer, one request at a time.

use crate::framing::FrameReader;
use crate::message::{Message, Peer, encode_request};
use crate::stats::add;
use crate::{Budget, Config, Connection, Kind, Record, Request, Reset};
use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use libp2p::core::transport::TransportError;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId, Stream};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a stream may take to close once its answer is there.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Asks other peers through the [`Behaviour`](crate::Behaviour) it comes from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    asks: mpsc::Sender<Box<Ask>>,
    permits: Arc<Semaphore>,
    config: Arc<Config>,
}

/// What a peer answered. Everything but the ids and addresses being well formed is its own word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Peers closer to the key, at most [`Limits::answer_closer_max`](crate::Limits::answer_closer_max).
    pub closer: Vec<AnswerPeer>,
    /// Providers, at most [`Limits::answer_providers_max`](crate::Limits::answer_providers_max).
    pub providers: Vec<AnswerPeer>,
    /// The record, if there was one.
    pub record: Option<Record>,
}

/// A peer in an [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPeer {
    /// Its id. Peers whose id is none are left out.
    pub peer: PeerId,
    /// Its addresses. Those that are none are left out.
    pub addresses: Vec<Multiaddr>,
    /// What the peer asked says about its connection to it.
    pub connection: Connection,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The peer could not be reached.
    #[error("the peer could not be reached: {0}")]
    Dial(String),
    /// The peer does not speak the protocol, or only as a client.
    #[error("the peer does not serve the protocol")]
    Unsupported,
    /// There was no answer in time.
    #[error("no answer in time")]
    Deadline,
    /// The peer reset the stream, or the connection closed.
    #[error("the peer reset the stream or closed the connection")]
    Reset,
    /// The answer is no message, is too long, or answers something else.
    #[error("the answer is malformed")]
    Malformed,
    /// As many requests as allowed are under way, the memory for large answers is used up, or this node [did not
    /// dial](NotDialed).
    #[error("too many requests are under way")]
    Busy,
    /// The behaviour is gone.
    #[error("the client is shut down")]
    Closed,
}

impl AskError {
    /// What a failed dial means to those who wait for it: [`Busy`](Self::Busy) if it failed at this end.
    pub fn of_dial(failure: &DialError) -> Self {
        if is_local(failure) { Self::Busy } else { Self::Dial(failure.to_string()) }
    }

    /// Whether it failed at this end, so that nothing is known of the peer.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Busy | Self::Closed => true,
            Self::Dial(_) | Self::Unsupported | Self::Deadline | Self::Reset | Self::Malformed => false,
        }
    }
}

/// The cause of a failed dial that this node did not make, to spare others or itself. A transport that has it among the
/// causes of its error ends the request with [`AskError::Busy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not dialed now")]
pub struct NotDialed;

/// Whether a dial failed at this end. One address that failed at the other end tells enough of the peer, and one that no
/// transport or no route of this node leads to tells nothing.
fn is_local(failure: &DialError) -> bool {
    match failure {
        DialError::Transport(errors) => {
            let mut ends = errors.iter().filter_map(|(_, error)| match error {
                TransportError::Other(error) => failed_end(error),
                TransportError::MultiaddrNotSupported(_) => None,
            });
            ends.next() == Some(End::This) && ends.all(|end| end == End::This)
        }
        DialError::Denied { .. } | DialError::Aborted | DialError::DialPeerConditionFalse(_) => true,
        DialError::LocalPeerId { .. } | DialError::NoAddresses | DialError::WrongPeerId { .. } => false,
    }
}

/// At which end the dial of one address failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    This,
    Other,
}

/// The system's numbers of open files that are used up, for the process and for the machine.
const FILES_USED_UP: [i32; 2] = [24, 23];
/// What a dial meets where no interface leads.
const NO_ROUTE: [io::ErrorKind; 3] =
    [io::ErrorKind::NetworkUnreachable, io::ErrorKind::NetworkDown, io::ErrorKind::AddrNotAvailable];

/// None where this node has no route: the address may be of a kind that it does not have.
fn failed_end(error: &(dyn Error + 'static)) -> Option<End> {
    let (mut cause, mut end) = (Some(error), Some(End::Other));
    while let Some(error) = cause {
        if error.is::<NotDialed>() {
            return Some(End::This);
        }
        let io = error.downcast_ref::<io::Error>();
        if io.and_then(io::Error::raw_os_error).is_some_and(|code| FILES_USED_UP.contains(&code)) {
            return Some(End::This);
        }
        if io.is_some_and(|error| NO_ROUTE.contains(&error.kind())) {
            end = None;
        }
        // The source of an error that is wrapped is that of the wrapped one, which would be left out.
        let wrapped = io.and_then(io::Error::get_ref).map(|wrapped| wrapped as &(dyn Error + 'static));
        cause = wrapped.or_else(|| error.source());
    }
    end
}

impl Client {
    pub(crate) fn new(config: Arc<Config>) -> (Self, mpsc::Receiver<Box<Ask>>) {
        let requests_max = config.limits.requests_max.max(1);
        let (asks, queue) = mpsc::channel(requests_max);
        (Self { asks, permits: Arc::new(Semaphore::new(requests_max)), config }, queue)
    }

    /// Asks `peer`, on a stream of its own, and waits at most `patience` for the answer.
    ///
    /// When there is no connection, the peer is dialed at `addresses`, or at those that other behaviours of the swarm
    /// know when there are none. ADD_PROVIDER is not answered: it is done when it has been written, and its answer is
    /// empty.
    ///
    /// # Errors
    /// [`AskError`], as told there. Nothing is tried twice.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up: its stream is reset. A dial that has begun goes on.
    pub async fn ask(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        request: Request,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        add(&self.config.stats.mine().outbound_requests, 1);
        let failure = Failure { config: &self.config };
        let answer = self.ask_once(peer, addresses, request, patience).await?;
        std::mem::forget(failure);
        Ok(answer)
    }

    async fn ask_once(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        request: Request,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        let deadline = Instant::now() + patience;
        let (outcome, told) = oneshot::channel();
        let (kind, frame) = (request.kind(), encode_request(&request).bytes);
        self.send(peer, addresses, deadline, Want::Answer { kind, frame, outcome })?;
        received(deadline, told).await
    }

    /// Opens a stream to `peer` for several requests, one after the other, and waits at most `patience` for it.
    ///
    /// # Errors
    /// [`AskError`], as told there.
    ///
    /// # Cancel safety
    /// Dropping the future gives the stream up. A dial that has begun goes on.
    pub async fn stream(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        patience: Duration,
    ) -> Result<ClientStream, AskError> {
        let deadline = Instant::now() + patience;
        let (outcome, opened) = oneshot::channel();
        self.send(peer, addresses, deadline, Want::Stream(outcome))?;
        let stream = received(deadline, opened).await?;
        Ok(ClientStream { stream, config: Arc::clone(&self.config) })
    }

    fn send(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        deadline: Instant,
        want: Want,
    ) -> Result<(), AskError> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| AskError::Busy)?;
        let ask = Ask { peer, addresses, deadline, want, _permit: permit };
        self.asks.try_send(Box::new(ask)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::Closed,
        })
    }
}

async fn received<T>(
    deadline: Instant,
    outcome: oneshot::Receiver<Result<T, AskError>>,
) -> Result<T, AskError> {
    match timeout_at(deadline, outcome).await {
        Err(_) => Err(AskError::Deadline),
        Ok(Err(_)) => Err(AskError::Reset),
        Ok(Ok(outcome)) => outcome,
    }
}

/// A stream to a peer, for one request after the other. It keeps its connection open; dropping it resets it.
#[derive(Debug)]
pub struct ClientStream {
    stream: Stream,
    config: Arc<Config>,
}

impl ClientStream {
    /// Sends a request and waits at most `patience` for its answer. ADD_PROVIDER is not answered: it is done when it has
    /// been written, and its answer is empty.
    ///
    /// # Errors
    /// [`AskError`]. The stream is of no use afterwards: a late answer would be taken for that of the next request.
    pub async fn ask(&mut self, request: &Request, patience: Duration) -> Result<Answer, AskError> {
        let (kind, frame) = (request.kind(), encode_request(request).bytes);
        let (config, frames) = (&self.config, &self.config.frames);
        let exchange = exchange(&mut self.stream, kind, &frame, config, frames, AfterWrite::Keep);
        timeout(patience, exchange).await.unwrap_or(Err(AskError::Deadline))
    }

    /// Closes the stream in order.
    pub async fn close(mut self) {
        // One that does not close properly is reset when it is dropped.
        drop(timeout(CLOSE_WAIT, self.stream.close()).await);
    }
}

/// What becomes of a stream after a request that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterWrite {
    Close,
    Keep,
}

/// Counts a request as failed, unless it is forgotten; so one that was given up is counted too.
struct Failure<'a> {
    config: &'a Config,
}

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        add(&self.config.stats.mine().outbound_requests_failed, 1);
    }
}

/// A request on its way to the connection that will carry it. Whoever drops it ends it with [`AskError::Reset`].
pub struct Ask {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) deadline: Instant,
    want: Want,
    _permit: OwnedSemaphorePermit,
}

/// What is wanted of a peer.
enum Want {
    /// The answer to a request.
    Answer { kind: Kind, frame: Bytes, outcome: oneshot::Sender<Result<Answer, AskError>> },
    /// A stream.
    Stream(oneshot::Sender<Result<Stream, AskError>>),
}

impl Ask {
    /// Whether nobody waits for it any more.
    pub(crate) fn is_given_up(&self) -> bool {
        match &self.want {
            Want::Answer { outcome, .. } => outcome.is_closed(),
            Want::Stream(opened) => opened.is_closed(),
        }
    }

    pub(crate) fn fail(self, error: AskError) {
        // The one who asked may have gone; then nobody needs to know.
        match self.want {
            Want::Answer { outcome, .. } => drop(outcome.send(Err(error))),
            Want::Stream(opened) => drop(opened.send(Err(error))),
        }
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.want {
            Want::Answer { kind, .. } => write!(f, "Ask({kind:?} to {})", self.peer),
            Want::Stream(_) => write!(f, "Ask(a stream to {})", self.peer),
        }
    }
}

/// Carries a request over its stream and tells the outcome, or hands the stream over.
pub(crate) async fn carry(mut io: Stream, ask: Box<Ask>, config: Arc<Config>, frames: Budget) {
    let Ask { deadline, want, _permit, .. } = *ask;
    let (kind, frame, mut outcome) = match want {
        Want::Answer { kind, frame, outcome } => (kind, frame, outcome),
        // Given up meanwhile: the stream is dropped.
        Want::Stream(opened) => return drop(opened.send(Ok(io))),
    };
    let answer = tokio::select! {
        biased;
        () = outcome.closed() => return,
        answer = timeout_at(deadline, exchange(&mut io, kind, &frame, &config, &frames, AfterWrite::Close)) => {
            answer.unwrap_or(Err(AskError::Deadline))
        }
    };
    let done = answer.is_ok();
    drop(outcome.send(answer));
    if done {
        // Its stream has served; when it does not close properly, dropping it is enough.
        drop(timeout(CLOSE_WAIT, io.close()).await);
    }
}

async fn exchange<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    kind: Kind,
    frame: &[u8],
    config: &Config,
    frames: &Budget,
    after: AfterWrite,
) -> Result<Answer, AskError> {
    io.write_all(frame).await.map_err(|_| AskError::Reset)?;
    io.flush().await.map_err(|_| AskError::Reset)?;
    if !kind.is_answered() {
        if after == AfterWrite::Close {
            io.close().await.map_err(|_| AskError::Reset)?;
        }
        return Ok(Answer::default());
    }
    let mut reader = FrameReader::new(&config.limits, frames);
    let frame = reader.next(io).await.map_err(|cause| match cause {
        Reset::FrameTooLong => AskError::Malformed,
        Reset::NoBudget => AskError::Busy,
        Reset::Malformed | Reset::Idle | Reset::SlowReader | Reset::Refused | Reset::Broken => {
            AskError::Reset
        }
    })?;
    Answer::decode(frame.ok_or(AskError::Reset)?, kind, &config.limits)
}

impl Answer {
    /// Decodes an answer to a request of this kind, from a frame without its length prefix.
    ///
    /// # Errors
    /// [`AskError::Malformed`] when it is no message, or of another kind.
    pub fn decode(frame: Bytes, kind: Kind, limits: &crate::Limits) -> Result<Self, AskError> {
        let (closer_max, providers_max) = (limits.answer_closer_max, limits.answer_providers_max);
        let message = Message::decode(frame, closer_max, providers_max, limits.peer_addresses_max)
            .map_err(|_| AskError::Malformed)?;
        if message.kind != kind {
            return Err(AskError::Malformed);
        }
        // The record is copied out of the frame, which would otherwise live as long as the answer.
        let record = message.record.map(|record| Record {
            key: Bytes::copy_from_slice(&record.key),
            value: Bytes::copy_from_slice(&record.value),
            time_received: Bytes::copy_from_slice(&record.time_received),
        });
        let closer = message.closer.into_iter().filter_map(AnswerPeer::parse).collect();
        let providers = message.providers.into_iter().filter_map(AnswerPeer::parse).collect();
        Ok(Self { closer, providers, record })
    }
}

impl AnswerPeer {
    fn parse(peer: Peer) -> Option<Self> {
        Some(Self {
            peer: PeerId::from_bytes(&peer.id).ok()?,
            addresses: peer
                .addresses
                .iter()
                .filter_map(|address| Multiaddr::try_from(address.to_vec()).ok())
                .collect(),
            connection: peer.connection,
        })
    }
}

#[cfg(test)]
mod tests;
