//! The client over real connections: TCP, Noise, Yamux.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod common;

use bytes::Bytes;
use common::{LONG, RawPeer, config, head, is_reset, limited, listen, raw_peer, swarm};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use hydra_kad::{
    Answer, AskError, Behaviour, Client, Config, Connection, EncodedPeer, ListedPeer, Peer, Record, Remote,
    Reply, Request, Response, Service,
};
use libp2p::{Multiaddr, PeerId, Stream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// Remembers what it was asked, and answers with many peers, one of them without a proper id.
#[derive(Clone, Default)]
struct Listing {
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Service for Listing {
    async fn handle(&self, _: &Remote, request: Request) -> Reply {
        self.asked.lock().unwrap().push(request.clone());
        match request {
            Request::AddProvider { .. } => Reply::Silence,
            Request::PutValue { .. } => Reply::Reset,
            Request::FindNode { .. }
            | Request::GetProviders { .. }
            | Request::GetValue { .. }
            | Request::Ping { .. } => Reply::Answer(Response {
                closer: (0..60).map(|_| listed(&PeerId::random().to_bytes())).collect(),
                providers: vec![listed(b"no id"), listed(&PeerId::random().to_bytes())].into(),
                record: Some(Record { value: Bytes::from_static(b"value"), ..Record::default() }),
                frame_bytes_max: None,
            }),
        }
    }
}

fn listed(id: &[u8]) -> ListedPeer {
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let peer = EncodedPeer::new(id, [&address.to_vec()[..], b"no address"]);
    ListedPeer { peer, connection: Connection::Connected }
}

/// A client and nothing else.
async fn scout(config: Config) -> Client {
    let behaviour = Behaviour::client_only(config);
    let client = behaviour.client();
    let mut swarm = swarm(|_| behaviour);
    listen(&mut swarm).await;
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    client
}

fn find() -> Request {
    Request::FindNode { key: Bytes::from_static(b"key") }
}

/// Asks a bare peer, which does with the stream what the test says.
async fn ask_bare<F: Future<Output = ()>>(
    client: &Client,
    raw: &mut RawPeer,
    patience: Duration,
    bare: impl FnOnce(Stream) -> F,
) -> Result<Answer, AskError> {
    let asked = client.ask(raw.peer, vec![raw.address.clone()], find(), patience);
    let served = async {
        if let Some(stream) = raw.accepted.recv().await {
            bare(stream).await;
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        answer = asked => answer,
        () = served => unreachable!(),
    }
}

#[tokio::test]
async fn t7_an_answer_is_parsed_and_its_lists_are_bounded() {
    let listing = Listing::default();
    let (head, client) = (head(config(), listing.clone()).await, scout(config()).await);
    let answer = client.ask(head.peer, vec![head.address.clone()], find(), LONG).await.unwrap();
    assert_eq!(answer.closer.len(), 40);
    assert_eq!(answer.providers.len(), 1, "a peer without an id is left out");
    let peer = &answer.providers[0];
    assert_eq!((peer.addresses.len(), peer.connection), (1, Connection::Connected));
    assert_eq!(&answer.record.unwrap().value[..], b"value");
    assert_eq!(listing.asked.lock().unwrap()[..], [find()]);
    assert!(client.ask(head.peer, vec![], find(), LONG).await.is_ok(), "over the connection there is");
}

#[tokio::test]
async fn v5_an_announcement_is_done_when_it_is_written() {
    let listing = Listing::default();
    let (head, client) = (head(config(), listing.clone()).await, scout(config()).await);
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let providers = vec![Peer::new(&PeerId::random(), [&address])];
    let announcement = Request::AddProvider { key: Bytes::from_static(b"content"), providers };
    let answer = client.ask(head.peer, vec![head.address.clone()], announcement.clone(), LONG).await.unwrap();
    assert_eq!(answer, Answer::default());
    // Streams of one connection overtake each other, so it is waited for.
    let arrived = async {
        while listing.asked.lock().unwrap()[..] != [announcement.clone()] {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, arrived).await.unwrap();
}

#[tokio::test]
async fn a_head_asks_as_well_as_it_serves_and_many_at_once() {
    let (one, two) = (head(config(), Listing::default()).await, head(config(), Listing::default()).await);
    let both = async |from: &common::Head, to: &common::Head| {
        let asks = (0..20).map(|_| from.client.ask(to.peer, vec![to.address.clone()], find(), LONG));
        futures::future::join_all(asks).await
    };
    let (there, back) = futures::join!(both(&one, &two), both(&two, &one));
    assert!(there.iter().chain(&back).all(Result::is_ok));
}

#[tokio::test]
async fn what_cannot_be_reached_is_a_dial_error() {
    let client = scout(config()).await;
    let nowhere: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    for addresses in [vec![nowhere], vec![]] {
        let asked = client.ask(PeerId::random(), addresses, find(), LONG).await;
        assert!(matches!(asked, Err(AskError::Dial(_))), "{asked:?}");
    }
    let head = head(config(), Listing::default()).await;
    let asked = client.ask(PeerId::random(), vec![head.address.clone()], find(), LONG).await;
    assert!(matches!(asked, Err(AskError::Dial(_))), "another peer answers there: {asked:?}");
}

#[tokio::test]
async fn n1_a_peer_in_client_mode_is_unsupported() {
    let head = head(config(), Listing::default()).await;
    head.mode.send_replace(hydra_kad::Mode::Client);
    let client = scout(config()).await;
    let unsupported = async {
        let ask = || client.ask(head.peer, vec![head.address.clone()], find(), LONG);
        while ask().await != Err(AskError::Unsupported) {}
    };
    timeout(LONG, unsupported).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_refused_is_a_reset() {
    let (head, client) = (head(config(), Listing::default()).await, scout(config()).await);
    let put = Request::PutValue { key: Bytes::from_static(b"key"), record: None };
    let asked = client.ask(head.peer, vec![head.address.clone()], put, LONG).await;
    assert_eq!(asked, Err(AskError::Reset));
    assert_eq!(head.config.stats.resets(hydra_kad::Reset::Refused), 1);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up_at_the_deadline_and_its_stream_reset() {
    let (mut raw, client) = (raw_peer().await, scout(config()).await);
    let (ended, told) = tokio::sync::oneshot::channel();
    let silent = |mut stream: Stream| async move {
        tokio::spawn(async move {
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            ended.send(is_reset(&mut stream).await).unwrap();
        });
    };
    let asked = ask_bare(&client, &mut raw, Duration::from_secs(2), silent).await;
    assert_eq!(asked, Err(AskError::Deadline));
    assert!(timeout(LONG, told).await.unwrap().unwrap(), "the peer sees a reset");
}

#[tokio::test]
async fn an_answer_that_is_none_is_malformed() {
    let (mut raw, client) = (raw_peer().await, scout(config()).await);
    // Garbage, the answer to another request, a frame of 8 MiB.
    for bytes in [&[3, 0xff, 0xff, 0xff][..], &[2, 8, 3], &[0x80, 0x80, 0x80, 0x04]] {
        let answers = |mut stream: Stream| async move {
            stream.write_all(bytes).await.unwrap();
            stream.close().await.unwrap();
        };
        assert_eq!(ask_bare(&client, &mut raw, LONG, answers).await, Err(AskError::Malformed));
    }
    let closes = |mut stream: Stream| async move { stream.close().await.unwrap() };
    assert_eq!(ask_bare(&client, &mut raw, LONG, closes).await, Err(AskError::Reset));
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed_and_dropping_one_frees_its_place() {
    let config = limited(|limits| limits.requests_max = 2);
    let (mut raw, client) = (raw_peer().await, scout(config.clone()).await);
    let ask = || client.ask(raw.peer, vec![raw.address.clone()], find(), LONG);
    let (mut first, mut second) = (Box::pin(ask()), Box::pin(ask()));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(ask().await, Err(AskError::Busy));
    let streams = async { (raw.accepted.recv().await.unwrap(), raw.accepted.recv().await.unwrap()) };
    let streams = tokio::select! {
        streams = streams => streams,
        _ = &mut first => unreachable!(),
        _ = &mut second => unreachable!(),
    };
    drop(first);
    let free = async {
        let ask = || client.ask(raw.peer, vec![raw.address.clone()], find(), Duration::from_millis(50));
        while ask().await == Err(AskError::Busy) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, free).await.unwrap();
    drop(streams);
    assert_eq!(second.await, Err(AskError::Reset));
    assert!(config.stats.outbound_requests_failed() >= 4, "given up ones count");
}
