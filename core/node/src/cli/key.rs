//! The key of a command: a CID, a multihash, a peer id or a name.

use super::Failure;
use bytes::Bytes;
use cid::Cid;
use hydra_api::ContentKey;
use hydra_records::{Namespace, RecordKey};
use libp2p::PeerId;
use multihash::Multihash;

/// The maximum length of a multihash's digest.
const DIGEST_LEN_MAX: usize = 64;

/// The key of provider records of a CID, or of a multihash in hexadecimal.
pub(crate) fn content_key(text: &str) -> Result<Bytes, Failure> {
    let Some(key) = cid(text).or_else(|| multihash(text)) else {
        return Err(Failure::Usage(format!("`{text}` is neither a CID nor a hexadecimal multihash")));
    };
    match ContentKey::new(&key) {
        Ok(_) => Ok(key.into()),
        Err(cause) => Err(Failure::Usage(format!("`{text}`: {cause}"))),
    }
}

/// The key of a CID, of a multihash in hexadecimal, or of a peer id.
pub(crate) fn any_key(text: &str) -> Result<Bytes, Failure> {
    match text.parse::<PeerId>() {
        Ok(peer) => Ok(peer.to_bytes().into()),
        Err(_) => content_key(text).map_err(|_| {
            Failure::Usage(format!("`{text}` is neither a peer id, a CID nor a hexadecimal multihash"))
        }),
    }
}

/// The key of a name: `/ipns/<peer id>`, `/pk/<peer id>`, or a peer id alone, which is taken for a name. A peer id is in base58 or a
/// CID of a libp2p key.
pub(crate) fn record_key(text: &str) -> Result<RecordKey, Failure> {
    let (namespace, id) = match (text.strip_prefix("/ipns/"), text.strip_prefix("/pk/")) {
        (Some(id), _) => (Namespace::Ipns, id),
        (_, Some(id)) => (Namespace::PublicKey, id),
        _ => (Namespace::Ipns, text),
    };
    match peer_id(id) {
        Some(peer) => Ok(RecordKey::new(namespace, peer)),
        None => Err(Failure::Usage(format!(
            "`{text}` is not a name: expected a peer id (12D3Koo… or k51…), `/ipns/<peer id>` or `/pk/<peer id>`"
        ))),
    }
}

/// Whether it is told to be the key of a value record.
pub(crate) fn is_record_key(text: &str) -> bool {
    text.starts_with("/ipns/") || text.starts_with("/pk/")
}

fn peer_id(text: &str) -> Option<PeerId> {
    /// The multicodec of a libp2p public key.
    const LIBP2P_KEY: u64 = 0x72;
    text.parse().ok().or_else(|| {
        let cid = Cid::try_from(text).ok().filter(|cid| cid.codec() == LIBP2P_KEY)?;
        PeerId::from_bytes(&cid.hash().to_bytes()).ok()
    })
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

    #[test]
    fn a_name_is_written_in_several_ways() {
        const BASE58: &str = "12D3KooWLU2znyJMtDiHArqAGbZn8CgUGp92kxDBtefftEEaHSZS";
        let peer: PeerId = BASE58.parse().unwrap();
        let cid = Cid::new_v1(0x72, Multihash::from_bytes(&peer.to_bytes()).unwrap());
        let cid = cid.to_string_of_base(cid::multibase::Base::Base36Lower).unwrap();
        assert!(cid.starts_with("k51"), "{cid}");
        for text in [BASE58, &format!("/ipns/{BASE58}"), &cid, &format!("/ipns/{cid}")] {
            assert_eq!(record_key(text).unwrap(), RecordKey::new(Namespace::Ipns, peer), "{text}");
        }
        assert_eq!(record_key(&format!("/pk/{cid}")).unwrap(), RecordKey::new(Namespace::PublicKey, peer));
        assert!(matches!(record_key("example.com"), Err(Failure::Usage(_))));
    }
}
