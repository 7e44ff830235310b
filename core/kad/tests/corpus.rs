//! Replays the corpus of the fuzz targets, so that what they found once is tried in every run.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use bytes::Bytes;
use futures::executor::block_on;
use futures::io::Cursor;
use hydra_kad::framing::FrameReader;
use hydra_kad::{Answer, Budget, Kind, Limits, Request};
use std::path::Path;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).unwrap();
    let all: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(all.len() >= 10, "{} files", all.len());
    all
}

#[test]
fn f5_the_corpus_of_messages_is_decoded_within_limits_and_read_again_as_written() {
    let limits = Limits { provider_peers_max: 3, peer_addresses_max: 3, ..Limits::default() };
    let mut decoded_len = 0;
    for bytes in corpus("message") {
        let frame = Bytes::from(bytes);
        if let Ok(request) = Request::decode(frame.clone(), &limits) {
            decoded_len += 1;
            if let Request::AddProvider { providers, .. } = &request {
                assert!(providers.len() <= 3 && providers.iter().all(|peer| peer.addresses.len() <= 3));
            }
            assert_eq!(Request::decode(request.encode(), &limits), Ok(request));
        }
        for kind in [Kind::FindNode, Kind::GetProviders, Kind::GetValue] {
            if let Ok(answer) = Answer::decode(frame.clone(), kind, &limits) {
                assert!(answer.closer.len() <= limits.answer_closer_max);
            }
        }
    }
    assert!(decoded_len > 0, "some of them are messages");
}

#[test]
fn f2_the_corpus_of_frames_is_read_within_limits_and_everything_is_given_back() {
    let limits = Limits { frame_bytes_max: 2000, free_bytes: 100, ..Limits::default() };
    let budget = Budget::new(3000);
    let mut frames_len = 0;
    for bytes in corpus("frames") {
        let mut reader = FrameReader::new(&limits, &budget);
        let mut io = Cursor::new(bytes.get(1..).unwrap_or_default());
        while let Ok(Some(frame)) = block_on(reader.next(&mut io)) {
            frames_len += 1;
            assert!(frame.len() <= 2000 && reader.buffered() <= 2 * 2000 + 4096);
        }
        drop(reader);
        assert_eq!(budget.taken(), 0);
    }
    assert!(frames_len > 0, "some of them are frames");
}
