//! Heads' clients against servers that are wrong or lie. A right one is asked in the integration tests.

use super::exchange;
use super::nonces::Nonces;
use super::path::Path;
use super::*;
use crate::net::protobuf::{put_bytes, put_fixed64, put_varint};
use futures::{AsyncReadExt, AsyncWriteExt};
use tokio_util::compat::TokioAsyncReadCompatExt;

fn tested() -> Multiaddr {
    "/ip4/1.2.3.4/tcp/1".parse().unwrap()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_varint(&mut frame, message.len() as u64);
    [frame, message.to_vec()].concat()
}

/// A message with these numbers in its only field, which is `kind`.
fn told(kind: u64, numbers: &[(u64, u64)]) -> Vec<u8> {
    let (mut inner, mut message) = (Vec::new(), Vec::new());
    for (number, value) in numbers {
        put_varint(&mut inner, number << 3);
        put_varint(&mut inner, *value);
    }
    put_bytes(&mut message, kind, &inner);
    framed(&message)
}

/// The result of a test by a server that answers the request with these bytes.
async fn result(answer: Vec<u8>) -> Result<Verdict, CheckError> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let server = tokio::spawn(async move {
        let mut theirs = theirs.compat();
        // The request is in one piece: a length, an address and a number.
        assert_ne!(theirs.read(&mut [0; 512]).await.unwrap(), 0);
        theirs.write_all(&answer).await.unwrap();
        theirs
    });
    let nonces = Arc::<Nonces>::default();
    let result = exchange::request(ours.compat(), tested(), nonces.begin(&tested())).await;
    assert!(!nonces.are_awaited(), "the number is forgotten with the test");
    drop(server.await.unwrap());
    result
}

const REACHED: &[(u64, u64)] = &[(1, 200), (3, 200)];

#[tokio::test(start_paused = true)]
async fn a_server_that_never_came_is_not_believed_that_it_did() {
    assert_eq!(result(told(2, REACHED)).await, Err(CheckError::Unfinished));
}

#[tokio::test(start_paused = true)]
async fn a_server_gets_the_data_that_it_may_want_and_no_more() {
    let unreachable: &[(u64, u64)] = &[(1, 200), (3, 100)];
    let wants = |bytes: u64| [told(3, &[(2, bytes)]), told(2, unreachable)].concat();
    assert_eq!(result(wants(100_000)).await, Ok(Verdict::Unreachable));
    assert_eq!(result(wants(100_001)).await, Err(CheckError::Failed));
    let twice = [told(3, &[(2, 30_000)]), told(3, &[(2, 30_000)])].concat();
    assert_eq!(result(twice).await, Err(CheckError::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_or_nonsense_ends_the_test() {
    for nonsense in [vec![0], vec![0xff; 64], framed(&[0x12; 128]), framed(&[7; 1024])] {
        assert_eq!(result(nonsense).await, Err(CheckError::Failed));
    }
    assert_eq!(result(vec![2]).await, Err(CheckError::Deadline));
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_told_is_acknowledged_where_it_proves_something_and_any_other_is_not() {
    let nonces = Arc::<Nonces>::default();
    let nonce = nonces.begin(&tested());
    let (other, right) = (nonce.number() ^ 1, nonce.number());
    for (number, at, is_known) in [
        (other, "/ip4/10.0.0.1/tcp/4001", false),
        (right, "/ip4/10.0.0.1/udp/4001/quic-v1", false),
        (right, "/ip6/2001:db8::1/tcp/4001", false),
        (right, "/memory/1", false),
        (right, "/ip4/10.0.0.1/tcp/4001", true),
    ] {
        let (ours, theirs) = tokio::io::duplex(64);
        let mut message = Vec::new();
        put_fixed64(&mut message, 1, number);
        let mut theirs = theirs.compat();
        theirs.write_all(&framed(&message)).await.unwrap();
        exchange::dial_back(ours.compat(), &nonces, Path::of(&at.parse().unwrap())).await;
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.unwrap();
        let wanted = (&[0][..usize::from(is_known)], is_known);
        assert_eq!((answer.as_slice(), nonce.has_arrived()), wanted, "{number} at {at}");
    }
}
