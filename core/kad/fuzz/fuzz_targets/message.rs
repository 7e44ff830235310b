//! Whatever bytes come, the decoder does not panic, keeps its limits, and reads again what it has read.

#![no_main]

use bytes::Bytes;
use hydra_kad::{Answer, Kind, Limits, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { provider_peers_max: 3, peer_addresses_max: 3, ..Limits::default() };
    if let Ok(request) = Request::decode(Bytes::copy_from_slice(bytes), &limits) {
        if let Request::AddProvider { providers, .. } = &request {
            assert!(providers.len() <= 3 && providers.iter().all(|peer| peer.addresses.len() <= 3));
        }
        // What is longer than a peer may be in a message is cut when it is written (Q9).
        if bytes.len() < 8000 {
            assert_eq!(Request::decode(request.encode(), &limits).as_ref(), Ok(&request));
        }
    }
    for kind in [Kind::FindNode, Kind::GetProviders, Kind::GetValue] {
        if let Ok(answer) = Answer::decode(Bytes::copy_from_slice(bytes), kind, &limits) {
            assert!(answer.closer.len() <= limits.answer_closer_max);
        }
    }
});
