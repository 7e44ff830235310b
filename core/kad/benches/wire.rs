//! What one request costs without the network: decoding it, and encoding its answer: with 20 closer peers, with 128
//! providers besides, and with as many to a peer that gets small answers.

use bytes::Bytes;
use divan::{Bencher, black_box};
use hydra_kad::{Connection, EncodedPeer, Limits, ListedPeer, Peer, Request, Response};

fn main() {
    divan::main();
}

fn key() -> Bytes {
    Bytes::from_static(&[9; 34])
}

/// Three addresses each, as in a usual answer.
fn closer() -> Vec<ListedPeer> {
    (0..20u8)
        .map(|nth| {
            let peer = EncodedPeer::new(&[nth; 38], [[nth; 8], [nth; 8], [nth; 8]]);
            ListedPeer { peer, connection: Connection::Connected }
        })
        .collect()
}

#[divan::bench]
fn encode_20_closer(bencher: Bencher<'_, '_>) {
    let response = Response { closer: closer(), ..Response::default() };
    let request = Request::FindNode { key: key() };
    bencher.bench_local(|| black_box(&response).encode(&request, 4 << 20));
}

/// As many providers as one answer has at most, with eight addresses each: some 20 KiB with the closer peers.
fn popular() -> Response {
    let providers = (0..128u8).map(|nth| EncodedPeer::new(&[nth; 38], vec![[nth; 11]; 8]).into());
    Response { closer: closer(), providers: providers.collect::<Vec<_>>().into(), ..Response::default() }
}

#[divan::bench]
fn encode_128_providers(bencher: Bencher<'_, '_>) {
    let (response, request) = (popular(), Request::GetProviders { key: key() });
    bencher.bench_local(|| black_box(&response).encode(&request, 4 << 20));
}

/// The same answer where it may have 16 KiB alone.
#[divan::bench]
fn encode_128_providers_small(bencher: Bencher<'_, '_>) {
    let response = Response { frame_bytes_max: Some(16 << 10), ..popular() };
    let request = Request::GetProviders { key: key() };
    bencher.bench_local(|| black_box(&response).encode(&request, 4 << 20));
}

/// An answer that is small by itself, to a peer that gets small ones.
#[divan::bench]
fn encode_20_closer_small(bencher: Bencher<'_, '_>) {
    let response = Response { closer: closer(), frame_bytes_max: Some(16 << 10), ..Response::default() };
    let request = Request::FindNode { key: key() };
    bencher.bench_local(|| black_box(&response).encode(&request, 4 << 20));
}

#[divan::bench]
fn decode_get_providers(bencher: Bencher<'_, '_>) {
    let frame = Request::GetProviders { key: key() }.encode();
    let limits = Limits::default();
    bencher.bench_local(|| Request::decode(black_box(&frame).clone(), &limits));
}

#[divan::bench]
fn decode_add_provider(bencher: Bencher<'_, '_>) {
    let addresses = vec![Bytes::from_static(&[4; 8]); 8];
    let peer = Peer { id: Bytes::from_static(&[7; 38]), addresses, ..Peer::default() };
    let frame = Request::AddProvider { key: key(), providers: vec![peer] }.encode();
    let limits = Limits::default();
    bencher.bench_local(|| Request::decode(black_box(&frame).clone(), &limits));
}
