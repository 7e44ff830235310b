//! One request: its attempts, and the judgement of its answer.

use crate::client::{Client, Later};
use crate::draw::Drawn;
use crate::keys::{Key, KeySpace};
use crate::outcome::{Operation, Outcome};
use crate::plan::{Connections, Plan, Streams};
use crate::recorder::RequestEnd;
use crate::session::Session;
use bytes::Bytes;
use hydra_kad::{Answer, AskError, Request};
use libp2p::{PeerId, multihash::Multihash};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

/// How long a session lives at least after an announcement: what was written is still on its way
/// through the multiplexer, and nothing tells when the server has it.
const ANNOUNCEMENT_LINGER: Duration = Duration::from_millis(250);
/// The identity multihash code, that of peer ids with short keys.
const IDENTITY: u64 = 0;

/// Which stream an attempt uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// One that is open, or a new one.
    First,
    /// A new one, as go-libp2p-kad-dht uses after a reset.
    Retry,
}

/// Sends a request that was due at `due`, and again once after a reset.
pub(crate) async fn exchange(
    plan: &Plan,
    keys: &KeySpace,
    client: &Client,
    drawn: &Drawn,
    due: Instant,
) -> RequestEnd {
    // What is known now counts, not what becomes known while the answer is on its way.
    let has_providers = drawn.operation == Operation::Get && keys.has_providers(drawn.key);
    let mut retries = 0;
    let mut answer = attempt(plan, keys, client, drawn, Attempt::First).await;
    if answer == Err(Outcome::Reset) {
        retries = 1;
        answer = attempt(plan, keys, client, drawn, Attempt::Retry).await;
    }
    let latency = due.elapsed();
    let outcome = match answer {
        Err(outcome) => outcome,
        Ok(_) if latency > plan.late_after => Outcome::Late,
        Ok(answer) if has_providers && answer.providers.is_empty() => Outcome::Empty,
        Ok(_) => Outcome::Full,
    };
    RequestEnd { outcome, latency, retries }
}

async fn attempt(
    plan: &Plan,
    keys: &KeySpace,
    client: &Client,
    drawn: &Drawn,
    attempt: Attempt,
) -> Result<Answer, Outcome> {
    let deadline = Instant::now() + plan.timeout;
    let permit = timeout_at(deadline.into(), client.permits.acquire()).await;
    let _permit = permit.map_err(|_| Outcome::Timeout)?.map_err(|_| Outcome::Unsent)?;
    let (session, later) = client.session().map_err(|_| Outcome::Refused)?;
    let request = request(drawn.operation, keys.bytes(drawn.key), &session);
    let reused = plan.streams == Streams::Reused && plan.connections == Connections::Kept;
    let answer = if reused {
        over_kept_stream(&session, &request, deadline, attempt, later).await
    } else {
        let patience = deadline.saturating_duration_since(Instant::now());
        let at = vec![session.head().address().clone()];
        session.client().ask(session.head().peer(), at, request, patience).await
    };
    if answer.is_ok() && drawn.operation == Operation::Add {
        keys.announced(drawn.key);
        if client.rotates() {
            tokio::spawn(linger(session));
        }
    }
    answer.map_err(|error| outcome(&error))
}

async fn over_kept_stream(
    session: &Session,
    request: &Request,
    deadline: Instant,
    attempt: Attempt,
    later: Later,
) -> Result<Answer, AskError> {
    let kept = session.idle_stream().filter(|_| attempt == Attempt::First);
    let mut stream = match kept {
        Some(stream) => stream,
        None => session.open_stream(deadline).await?,
    };
    let patience = deadline.saturating_duration_since(Instant::now());
    let answer = stream.ask(request, patience).await?;
    match later {
        Later::Used => session.keep_stream(stream),
        Later::Closed => stream.close().await,
    }
    Ok(answer)
}

async fn linger(session: Arc<Session>) {
    tokio::time::sleep(ANNOUNCEMENT_LINGER).await;
    drop(session);
}

fn request(operation: Operation, key: Bytes, session: &Session) -> Request {
    match operation {
        Operation::Get => Request::GetProviders { key },
        Operation::Add => Request::AddProvider { key, providers: vec![session.provider().clone()] },
        Operation::Find => Request::FindNode { key: peer_id(&key) },
        Operation::Ping => Request::Ping { key: Bytes::new() },
    }
}

/// The id of a peer that does not exist, made of the digest of a key.
fn peer_id(key: &Bytes) -> Bytes {
    // The protobuf of an Ed25519 public key.
    let mut public = vec![0x08, 0x01, 0x12, 0x20];
    public.extend_from_slice(key.get(2..).unwrap_or_default());
    let peer = Multihash::<64>::wrap(IDENTITY, &public).ok().and_then(|id| PeerId::from_multihash(id).ok());
    peer.map_or_else(|| key.clone(), |peer| peer.to_bytes().into())
}

fn outcome(error: &AskError) -> Outcome {
    match error {
        AskError::Deadline => Outcome::Timeout,
        AskError::Reset | AskError::Malformed => Outcome::Reset,
        AskError::Dial(_) | AskError::Unsupported | AskError::Closed => Outcome::Refused,
        // The client's own limit.
        AskError::Busy => Outcome::Unsent,
    }
}

/// An answered request, to connect and to learn that the server has read what came before on the stream.
pub(crate) fn probe(keys: &KeySpace) -> Request {
    Request::FindNode { key: peer_id(&keys.bytes(Key::Absent(0))) }
}
