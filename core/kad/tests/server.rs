//! The server over real connections: TCP, Noise, Yamux.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod common;

use bytes::Bytes;
use common::{LONG, RawPeer, config, head, is_reset, limited, raw_peer};
use futures::AsyncWriteExt;
use hydra_kad::framing::FrameReader;
use hydra_kad::{
    Answer, Budget, Config, EncodedPeer, Kind, Limits, ListedPeer, Mode, Remote, Reply, Request, Reset,
    Response, Service,
};
use libp2p::Stream;
use std::time::Duration;
use tokio::time::timeout;

/// Answers FIND_NODE and PING, is silent on ADD_PROVIDER, and refuses the rest.
struct Plain;

impl Service for Plain {
    async fn handle(&self, from: &Remote, request: Request) -> Reply {
        match request {
            Request::FindNode { .. } | Request::Ping { .. } => {
                let asker = EncodedPeer::new(&from.peer.to_bytes(), [from.address.to_vec()]);
                Reply::Answer(Response { closer: vec![asker.into()], ..Response::default() })
            }
            Request::GetProviders { .. } => {
                let large = ListedPeer::from(EncodedPeer::new(&from.peer.to_bytes(), [vec![1; 8000]]));
                Reply::Answer(Response { providers: vec![large; 600].into(), ..Response::default() })
            }
            Request::AddProvider { .. } => Reply::Silence,
            Request::GetValue { .. } | Request::PutValue { .. } => Reply::Reset,
        }
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(frame.len() as u64, &mut out);
    out.extend_from_slice(frame);
    out
}

fn find(key: &str) -> Vec<u8> {
    framed(&Request::FindNode { key: key.to_owned().into() }.encode())
}

fn add() -> Vec<u8> {
    framed(&Request::AddProvider { key: Bytes::from_static(b"content"), providers: Vec::new() }.encode())
}

/// The next frame; `None` at a clean end.
async fn next(stream: &mut Stream) -> Result<Option<Bytes>, Reset> {
    let mut reader = FrameReader::new(&Limits::default(), &Budget::new(64 << 20));
    timeout(LONG, reader.next(stream)).await.expect("something comes in time")
}

fn answer(frame: Bytes, kind: Kind) -> Answer {
    Answer::decode(frame, kind, &Limits::default()).unwrap()
}

async fn serves(raw: &RawPeer, head: &common::Head) {
    let mut stream = raw.open(head).await.unwrap();
    stream.write_all(&find("key")).await.unwrap();
    let frame = next(&mut stream).await.unwrap().unwrap();
    assert_eq!(answer(frame, Kind::FindNode).closer[0].peer, raw.peer, "the service is told who asks");
    stream.close().await.unwrap();
}

#[tokio::test]
async fn f2_a_frame_declared_too_long_is_reset_before_it_comes() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    for length in [(1u64 << 22) + 1, u64::from(u32::MAX), u64::MAX] {
        let mut stream = raw.open(&head).await.unwrap();
        let mut declared = Vec::new();
        prost::encoding::encode_varint(length, &mut declared);
        stream.write_all(&declared).await.unwrap();
        stream.flush().await.unwrap();
        assert!(is_reset(&mut stream).await, "{length}");
    }
    assert_eq!(head.config.stats.resets(Reset::FrameTooLong), 3);
    serves(&raw, &head).await;
}

#[tokio::test]
async fn f2_large_frames_share_one_budget_over_all_connections() {
    let config = Config { frames: Budget::new(3 << 20), ..config() };
    let head = head(config, Plain).await;
    let large = framed(&vec![0; 4 << 20]);
    let begun = &large[..2 << 20];
    let (first, second) = (raw_peer().await, raw_peer().await);
    let mut holding = first.open(&head).await.unwrap();
    holding.write_all(begun).await.unwrap();
    holding.flush().await.unwrap();
    let taken = async {
        while head.config.frames.taken() < begun.len() - head.config.limits.free_bytes {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, taken).await.unwrap();

    let mut refused = second.open(&head).await.unwrap();
    // The reset may come while this is still being written.
    drop(refused.write_all(begun).await);
    drop(refused.flush().await);
    assert!(is_reset(&mut refused).await);
    assert_eq!(head.config.stats.resets(Reset::NoBudget), 1);
    assert!(head.config.frames.taken() <= 3 << 20);
    serves(&second, &head).await;
}

#[tokio::test]
async fn f2_one_connection_takes_its_share_of_the_budget_alone() {
    let mut config = Config { frames: Budget::new(8 << 20), ..config() };
    config.limits.frame_bytes_max = 1 << 20;
    let head = head(config, Plain).await;
    let large = framed(&vec![0; 1 << 20]);
    let begun = &large[..900 << 10];
    let (greedy, other) = (raw_peer().await, raw_peer().await);
    let mut held = Vec::new();
    for _ in 0..12 {
        let mut stream = greedy.open(&head).await.unwrap();
        // The reset may come while this is still being written.
        drop(stream.write_all(begun).await);
        drop(stream.flush().await);
        held.push(stream);
    }
    let refused = async {
        while head.config.stats.resets(Reset::NoBudget) < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, refused).await.unwrap();
    let taken = head.config.frames.taken();
    assert!(taken <= 1 << 20, "{taken} bytes of one connection");
    let mut stream = other.open(&head).await.unwrap();
    stream.write_all(begun).await.unwrap();
    stream.flush().await.unwrap();
    let more = async {
        while head.config.frames.taken() < taken + begun.len() - head.config.limits.free_bytes {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, more).await.expect("the other connection has its own share");
}

#[tokio::test]
async fn f3_every_request_before_the_half_close_is_answered_and_then_the_stream_closes() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    let mut stream = raw.open(&head).await.unwrap();
    for nth in 0..20 {
        stream.write_all(&find(&format!("key {nth}"))).await.unwrap();
    }
    stream.close().await.unwrap();
    let mut reader = FrameReader::new(&Limits::default(), &Budget::new(1 << 20));
    for nth in 0..20 {
        let frame = reader.next(&mut stream).await.unwrap().unwrap();
        let key = format!("key {nth}");
        assert!(frame.windows(key.len()).any(|part| part == key.as_bytes()), "in order");
    }
    assert_eq!(timeout(LONG, reader.next(&mut stream)).await.unwrap(), Ok(None), "a clean end");
}

#[tokio::test]
async fn f4_a_stream_that_sends_bytes_but_no_frame_is_reset() {
    let config = limited(|limits| limits.frame_wait = Duration::from_millis(300));
    let (head, raw) = (head(config, Plain).await, raw_peer().await);
    let mut stream = raw.open(&head).await.unwrap();
    let dripping = async {
        for byte in framed(&[0; 100_000]) {
            stream.write_all(&[byte]).await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::io::Result::Ok(())
    };
    assert!(timeout(LONG, dripping).await.expect("it is reset long before the frame is whole").is_err());
    assert_eq!(head.config.stats.resets(Reset::Idle), 1);
}

#[tokio::test]
async fn f5_garbage_unknown_types_and_refusals_reset_the_stream_alone() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    let refused = Request::GetValue { key: Bytes::from_static(b"key") }.encode();
    for frame in [&[0xff; 20][..], &[8, 6][..], &[18, 100, 1][..], &refused[..]] {
        let mut stream = raw.open(&head).await.unwrap();
        stream.write_all(&framed(frame)).await.unwrap();
        stream.flush().await.unwrap();
        assert!(is_reset(&mut stream).await);
        serves(&raw, &head).await;
    }
    assert_eq!(head.config.stats.resets(Reset::Malformed), 3);
    assert_eq!(head.config.stats.resets(Reset::Refused), 1);
}

#[tokio::test]
async fn f7_and_u13_a_ping_is_echoed_with_its_key_and_level() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    let mut stream = raw.open(&head).await.unwrap();
    stream.write_all(&framed(&[8, 5, 18, 1, b'k', 80, 3])).await.unwrap();
    let frame = next(&mut stream).await.unwrap().unwrap();
    assert_eq!(frame[..7], [8, 5, 18, 1, b'k', 80, 3]);
}

#[tokio::test]
async fn f9_thirty_two_streams_are_served_and_the_next_is_refused() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    let mut streams = Vec::new();
    for _ in 0..32 {
        let mut stream = raw.open(&head).await.unwrap();
        stream.write_all(&find("key")).await.unwrap();
        assert!(next(&mut stream).await.unwrap().is_some());
        streams.push(stream);
    }
    assert_eq!(head.config.stats.streams_open(), 32);
    let mut surplus = raw.open(&head).await.unwrap();
    drop(surplus.write_all(&find("key")).await);
    assert!(is_reset(&mut surplus).await);
    assert_eq!(head.config.stats.streams_refused(), 1);
    for stream in &mut streams {
        stream.write_all(&find("key")).await.unwrap();
        assert!(next(stream).await.unwrap().is_some(), "the connection and its streams stay");
    }
    let mut last = streams.pop().unwrap();
    last.close().await.unwrap();
    assert_eq!(next(&mut last).await, Ok(None));
    serves(&raw, &head).await;
}

#[tokio::test]
async fn f10_ten_thousand_slow_streams_take_no_task_and_no_budget() {
    let head = head(config(), Plain).await;
    let mut raws = Vec::new();
    for _ in 0..20 {
        let raw = raw_peer().await;
        serves(&raw, &head).await;
        raws.push(raw);
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut held = Vec::new();
    for raw in &raws {
        for _ in 0..500 {
            let mut stream = raw.open(&head).await.unwrap();
            // A length of 1 MiB, and the first byte of so much. It may be reset by now.
            drop(stream.write_all(&[0x80, 0x80, 0x40, 8]).await);
            drop(stream.flush().await);
            held.push(stream);
            held.drain(..held.len().saturating_sub(32 * raws.len()));
        }
    }
    let others = raw_peer().await;
    serves(&others, &head).await;
    let stats = &head.config.stats;
    assert!(stats.streams_accepted() + stats.streams_refused() >= 10_000);
    assert!(stats.streams_open() <= 32 * raws.len() as u64);
    assert_eq!(head.config.frames.taken(), 0);
    let tasks_now = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks_now <= tasks + 10, "{tasks_now} tasks, {tasks} before");
}

#[tokio::test]
async fn f10_a_reader_that_does_not_read_is_reset_and_gives_its_memory_back() {
    let config = limited(|limits| limits.write_wait = Duration::from_millis(300));
    let (head, raw) = (head(config, Plain).await, raw_peer().await);
    let mut stream = raw.open(&head).await.unwrap();
    let request = Request::GetProviders { key: Bytes::from_static(b"content") };
    stream.write_all(&framed(&request.encode())).await.unwrap();
    stream.flush().await.unwrap();
    let given_up = async {
        while head.config.stats.resets(Reset::SlowReader) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, given_up).await.unwrap();
    assert_eq!((head.config.answers.taken(), head.config.stats.streams_open()), (0, 0));
    serves(&raw, &head).await;
}

#[tokio::test]
async fn v13_an_answer_of_four_mebibytes_arrives() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    let mut stream = raw.open(&head).await.unwrap();
    let request = Request::GetProviders { key: Bytes::from_static(b"content") };
    stream.write_all(&framed(&request.encode())).await.unwrap();
    let frame = next(&mut stream).await.unwrap().unwrap();
    assert!(frame.len() <= 4 << 20 && frame.len() > (4 << 20) - 9000);
}

#[tokio::test]
async fn v5_after_an_announcement_the_next_answer_is_that_of_the_next_request() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    let mut stream = raw.open(&head).await.unwrap();
    for _ in 0..3 {
        stream.write_all(&add()).await.unwrap();
        stream.write_all(&find("key")).await.unwrap();
        let frame = next(&mut stream).await.unwrap().unwrap();
        assert_eq!(answer(frame, Kind::FindNode).closer.len(), 1);
    }
    stream.close().await.unwrap();
    assert_eq!(next(&mut stream).await, Ok(None));
}

#[tokio::test]
async fn n1_a_server_lists_the_protocol_and_a_client_refuses_it() {
    let (head, mut raw) = (head(config(), Plain).await, raw_peer().await);
    serves(&raw, &head).await;
    let lists = |wanted: bool| move |told: &Vec<_>| !told.is_empty() && told.contains(&common::KAD) == wanted;
    timeout(LONG, raw.protocols.wait_for(lists(true))).await.unwrap().unwrap();

    let mut open = raw.open(&head).await.unwrap();
    open.write_all(&find("key")).await.unwrap();
    assert!(next(&mut open).await.unwrap().is_some());
    head.mode.send_replace(Mode::Client);
    timeout(LONG, raw.protocols.wait_for(lists(false))).await.unwrap().unwrap();
    assert_eq!(raw.open(&head).await.unwrap_err(), "refused");
    let new = raw_peer().await;
    assert_eq!(new.open(&head).await.unwrap_err(), "refused", "on new connections too");

    head.mode.send_replace(Mode::Server);
    timeout(LONG, raw.protocols.wait_for(lists(true))).await.unwrap().unwrap();
    serves(&raw, &head).await;
    serves(&new, &head).await;
}

/// A go client takes an answer for the proof that it has met a server, and lists that again though identify has just told it
/// otherwise.
#[tokio::test]
async fn n1_a_stream_that_is_open_ends_with_the_next_request_once_the_peer_serves_no_more() {
    let (head, raw) = (head(config(), Plain).await, raw_peer().await);
    let mut open = raw.open(&head).await.unwrap();
    open.write_all(&find("key")).await.unwrap();
    assert!(next(&mut open).await.unwrap().is_some());
    head.mode.send_replace(Mode::Client);
    let refuses = async { while raw.open(&head).await.is_ok() {} };
    timeout(LONG, refuses).await.unwrap();
    open.write_all(&add()).await.unwrap();
    open.write_all(&find("key")).await.unwrap();
    assert_eq!(next(&mut open).await, Ok(None), "without an answer");
    assert_eq!(head.config.stats.frames_in(), 3, "what has no answer is still taken");
}

#[tokio::test]
async fn f10_a_peer_that_goes_away_leaves_nothing_behind() {
    let head = head(config(), Plain).await;
    let raw = raw_peer().await;
    let mut stream = raw.open(&head).await.unwrap();
    stream.write_all(&[0x80, 0x80, 0x40, 8]).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let gone = async {
        while head.config.stats.streams_open() > 0 || head.config.stats.streams_accepted() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, gone).await.unwrap();
    assert_eq!(head.config.stats.resets(Reset::Broken), 1);
}
