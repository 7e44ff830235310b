use super::*;
use crate::framing::FrameReader;
use crate::message::{Message, encode_request};
use crate::{Budget, EncodedPeer, Limits, ListedPeer, Mode, Request};
use futures::AsyncReadExt;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use std::future::pending;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// Answers as the first byte of the key says.
struct Told;

impl Service for Told {
    async fn handle(&self, _: &Remote, request: Request) -> Reply {
        match request.key().first() {
            Some(b's') => Reply::Silence,
            Some(b'r') => Reply::Reset,
            Some(b'l') => {
                let peer = ListedPeer::from(EncodedPeer::new(&[7; 38], [vec![1; 8000]]));
                Reply::Answer(Response { providers: vec![peer; 100].into(), ..Response::default() })
            }
            Some(b'n') => pending().await,
            _ => Reply::Answer(Response::default()),
        }
    }
}

fn config() -> Config {
    Config::new([libp2p::StreamProtocol::new("/test/kad/1.0.0")])
}

fn serving(config: &Config, buffer: usize) -> (Compat<DuplexStream>, JoinHandle<()>) {
    let (ours, theirs) = duplex(buffer);
    let remote = Remote {
        peer: PeerId::random(),
        address: Multiaddr::empty(),
        connection: ConnectionId::new_unchecked(0),
    };
    let (frames, mode) = (config.frames_of_connection(), Arc::new(SharedMode::new(Mode::Server)));
    let (config, remote) = (Arc::new(config.clone()), Arc::new(remote));
    let served = serve(theirs.compat(), config, frames, Arc::new(Told), remote, mode);
    (ours.compat(), tokio::spawn(served))
}

fn find(key: &str) -> Bytes {
    encode_request(&Request::FindNode { key: key.to_owned().into() }).bytes
}

async fn answers(io: &mut Compat<DuplexStream>) -> Vec<Bytes> {
    let mut reader = FrameReader::new(&Limits::default(), &Budget::new(1 << 30));
    let mut keys = Vec::new();
    while let Some(frame) = reader.next(io).await.unwrap() {
        keys.push(Message::decode(frame, 0, 0, 0).unwrap().key);
    }
    keys
}

#[tokio::test(start_paused = true)]
async fn f3_many_requests_are_answered_in_order_and_then_the_stream_closes() {
    let config = config();
    let (mut io, served) = serving(&config, 1 << 20);
    let keys: Vec<_> = (0..100).map(|nth| format!("a{nth}")).collect();
    let all: Vec<u8> = keys.iter().flat_map(|key| find(key).to_vec()).collect();
    io.write_all(&all).await.unwrap();
    io.close().await.unwrap();
    assert_eq!(answers(&mut io).await, keys);
    served.await.unwrap();
    assert_eq!((config.stats.frames_in(), config.stats.frames_out()), (100, 100));
    assert_eq!(config.stats.streams_open(), 0);
    assert!(Reset::ALL.into_iter().all(|cause| config.stats.resets(cause) == 0));
}

#[tokio::test(start_paused = true)]
async fn v5_silence_writes_nothing_and_the_stream_goes_on() {
    let (mut io, _served) = serving(&config(), 1 << 20);
    for key in ["silent", "a1", "silent", "a2"] {
        io.write_all(&find(key)).await.unwrap();
    }
    io.close().await.unwrap();
    assert_eq!(answers(&mut io).await, ["a1", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn f4_a_stream_without_a_frame_is_reset_after_a_minute() {
    let config = config();
    let (mut io, served) = serving(&config, 1 << 20);
    let start = Instant::now();
    for _ in 0..3 {
        sleep(Duration::from_secs(59)).await;
        io.write_all(&find("silent")).await.unwrap();
    }
    served.await.unwrap();
    assert_eq!(config.stats.resets(Reset::Idle), 1);
    let lived = start.elapsed().as_secs();
    assert!(
        (3 * 59 + 60..=3 * 59 + 61).contains(&lived),
        "the clock restarts at every full message: {lived}"
    );
}

#[tokio::test(start_paused = true)]
async fn f4_the_clock_does_not_restart_at_every_byte() {
    let config = config();
    let (mut io, served) = serving(&config, 1 << 20);
    let start = Instant::now();
    let frame = find(&"a".repeat(100));
    for byte in frame.iter() {
        if io.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    served.await.unwrap();
    assert_eq!((config.stats.resets(Reset::Idle), config.stats.frames_in()), (1, 0));
    assert!(start.elapsed() < Duration::from_secs(65));
}

#[tokio::test(start_paused = true)]
async fn f4_a_service_that_never_answers_does_not_hold_a_stream() {
    let config = config();
    let (mut io, served) = serving(&config, 1 << 20);
    io.write_all(&find("never")).await.unwrap();
    served.await.unwrap();
    assert_eq!(config.stats.resets(Reset::Idle), 1);
}

#[tokio::test(start_paused = true)]
async fn f10_a_reader_that_does_not_read_is_reset() {
    let config = config();
    let (mut io, served) = serving(&config, 1000);
    let start = Instant::now();
    io.write_all(&find("large")).await.unwrap();
    served.await.unwrap();
    assert_eq!((config.stats.resets(Reset::SlowReader), config.stats.frames_out()), (1, 0));
    assert!((10..12).contains(&start.elapsed().as_secs()));
    assert_eq!(config.answers.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn f10_answers_are_cut_when_the_memory_for_them_is_used_up() {
    let config = Config { answers: Budget::new(1 << 20), ..config() };
    let (mut stuck, _served) = serving(&config, 1000);
    stuck.write_all(&find("large")).await.unwrap();
    advance(Duration::from_secs(1)).await;
    assert!(config.answers.taken() > 700_000);

    let (mut io, _served) = serving(&config, 1 << 20);
    io.write_all(&find("large")).await.unwrap();
    io.close().await.unwrap();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > 8000 && answer.len() <= 16 << 10, "{}", answer.len());
    assert_eq!(config.stats.answers_cut(), 1);
}

#[tokio::test(start_paused = true)]
async fn f5_a_reset_writes_nothing_more() {
    let cases = [
        (&find("refused")[..], Reset::Refused),
        (&[3, 0xff, 0xff, 0xff][..], Reset::Malformed),
        (&[2, 8, 6][..], Reset::Malformed),
        (&[0x81, 0x80, 0x80, 0x02][..], Reset::FrameTooLong),
    ];
    for (bytes, cause) in cases {
        let config = config();
        let (mut io, served) = serving(&config, 1 << 20);
        io.write_all(&find("a")).await.unwrap();
        io.write_all(bytes).await.unwrap();
        io.write_all(&find("a")).await.unwrap();
        served.await.unwrap();
        assert_eq!(config.stats.resets(cause), 1, "{cause}");
        assert_eq!(config.stats.frames_out(), 1, "what came before is answered, what came after is not");
        assert_eq!(answers(&mut io).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn f10_an_idle_stream_is_small_and_holds_no_budget() {
    let config = config();
    let (mut io, _served) = serving(&config, 1 << 20);
    io.write_all(&find("silent")[..3]).await.unwrap();
    advance(Duration::from_secs(1)).await;
    assert_eq!((config.stats.streams_open(), config.frames.taken()), (1, 0));
    assert_eq!(config.stats.requests_open(), 0, "no request is in progress");
    let (remote, (_, theirs)) = (PeerId::random(), duplex(1));
    let remote =
        Remote { peer: remote, address: Multiaddr::empty(), connection: ConnectionId::new_unchecked(0) };
    let (frames, mode) = (config.frames_of_connection(), Arc::new(SharedMode::new(Mode::Server)));
    let served = serve(theirs.compat(), Arc::new(config), frames, Arc::new(Told), Arc::new(remote), mode);
    assert!(size_of_val(&served) <= 2048, "{} bytes", size_of_val(&served));
}
