//! The key and the peers of a request.

use crate::cli::Failure;
use crate::cli::args::AskArgs;
use crate::config::{Config, PeerAddress};
use bytes::Bytes;
use cid::Cid;
use hydra_api::ContentKey;
use libp2p::PeerId;
use multihash::Multihash;
use serde::Deserialize;
use std::io::ErrorKind;

/// The file in the data directory with the addresses of the heads of a running node.
const HEADS_FILE: &str = "heads.json";

/// The maximum length of a multihash's digest.
const DIGEST_LEN_MAX: usize = 64;

/// The key of provider records of a CID, or of a multihash in hexadecimal.
pub(super) fn content_key(text: &str) -> Result<Bytes, Failure> {
    let Some(key) = cid(text).or_else(|| multihash(text)) else {
        return Err(Failure::Usage(format!("`{text}` is neither a CID nor a hexadecimal multihash")));
    };
    match ContentKey::new(&key) {
        Ok(_) => Ok(key.into()),
        Err(cause) => Err(Failure::Usage(format!("`{text}`: {cause}"))),
    }
}

/// The key of a CID, of a multihash in hexadecimal, or of a peer id.
pub(super) fn any_key(text: &str) -> Result<Bytes, Failure> {
    match text.parse::<PeerId>() {
        Ok(peer) => Ok(peer.to_bytes().into()),
        Err(_) => content_key(text).map_err(|_| {
            Failure::Usage(format!("`{text}` is neither a peer id, a CID nor a hexadecimal multihash"))
        }),
    }
}

fn cid(text: &str) -> Option<Vec<u8>> {
    let path = text.strip_prefix("/ipfs/").unwrap_or(text);
    Some(Cid::try_from(path).ok()?.hash().to_bytes())
}

fn multihash(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    let bytes = bytes?;
    Multihash::<DIGEST_LEN_MAX>::from_bytes(&bytes).is_ok().then_some(bytes)
}

/// One head in the file.
#[derive(Debug, Deserialize)]
struct HeadLine {
    addresses: Vec<PeerAddress>,
}

/// The peer of the arguments, else the heads of the node that runs on the data directory, loopback first.
pub(super) fn peers(config: &Config, args: &AskArgs) -> Result<Vec<PeerAddress>, Failure> {
    if let Some(peer) = &args.peer {
        return Ok(vec![peer.clone()]);
    }
    let path = config.data_dir.join(HEADS_FILE);
    let text = std::fs::read_to_string(&path).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => Failure::Failed(format!(
            "no node runs on {}: start one with `hydra run`, or set --peer",
            config.data_dir.display()
        )),
        _ => Failure::failed(&format!("cannot read {}", path.display()), cause),
    })?;
    let heads: Vec<HeadLine> = serde_json::from_str(&text)
        .map_err(|cause| Failure::failed(&format!("cannot read {}", path.display()), cause))?;
    let mut addresses: Vec<PeerAddress> =
        heads.into_iter().filter_map(|head| head.addresses.into_iter().min_by_key(distance)).collect();
    addresses.sort_by_key(distance);
    Ok(addresses)
}

/// Orders addresses: loopback first, then TCP before QUIC.
fn distance(address: &PeerAddress) -> (bool, bool) {
    let text = address.to_string();
    let loopback = text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/");
    (!loopback, text.contains("/quic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MULTIHASH: &str = "1220e536c7f88d731f374dccb568aff6f56e838a19382e488039b1ca8ad2599e82fe";

    #[test]
    fn v8_both_versions_of_a_cid_and_the_bare_multihash_are_one_key() {
        let multihash = Multihash::<64>::from_bytes(&content_key(MULTIHASH).unwrap()).unwrap();
        let old = Cid::new_v0(multihash).unwrap().to_string();
        let new = Cid::new_v1(0x55, multihash).to_string();
        assert!(old.starts_with("Qm") && new.starts_with("bafkrei"));
        for text in [old.as_str(), &new, &format!("/ipfs/{new}"), MULTIHASH] {
            assert_eq!(content_key(text).unwrap(), multihash.to_bytes(), "{text}");
        }
    }

    #[test]
    fn a_peer_id_is_a_key_to_be_close_to() {
        let peer: PeerId = "12D3KooWLU2znyJMtDiHArqAGbZn8CgUGp92kxDBtefftEEaHSZS".parse().unwrap();
        assert_eq!(any_key(&peer.to_string()).unwrap(), peer.to_bytes());
        assert!(matches!(content_key("hello"), Err(Failure::Usage(_))));
        assert!(matches!(any_key("zzzz"), Err(Failure::Usage(_))));
    }
}
