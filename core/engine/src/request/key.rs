//! Which keys are served (rows V1, V7 and V20 of the protocol's requirements).

use crate::config::AnnouncedKeys;
use hydra_api::{ContentKey, KeyError};

/// A request that is answered by a reset of its stream: it is malformed, or asks for what no node keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The key is empty or too long (V1).
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The announced key is no multihash, or its digest is longer than its hash function gives (V7, V20).
    #[error("the announced key is not a multihash")]
    NotMultihash,
    /// The announced key holds the content itself: nobody needs to be asked for it (V20).
    #[error("the announced key is an identity multihash")]
    IdentityMultihash,
}

/// What a key is, as far as its bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The digest of some hash function.
    Multihash,
    /// The content itself in the place of a digest.
    Identity,
    /// Anything else.
    Other,
}

/// The key of an announcement.
pub(crate) fn announced(bytes: &[u8], kept: AnnouncedKeys) -> Result<ContentKey, Refused> {
    let key = ContentKey::new(bytes)?;
    match (form(bytes), kept) {
        (Form::Multihash, _) | (Form::Other, AnnouncedKeys::Any) => Ok(key),
        (Form::Identity, _) => Err(Refused::IdentityMultihash),
        (Form::Other, AnnouncedKeys::Multihash) => Err(Refused::NotMultihash),
    }
}

/// What these bytes are: a multihash is the code of a hash function, the length of the digest, and the digest.
pub(crate) fn form(bytes: &[u8]) -> Form {
    let Some((code, rest)) = varint(bytes) else { return Form::Other };
    let Some((len, digest)) = varint(rest) else { return Form::Other };
    if digest.len() as u64 != len {
        return Form::Other;
    }
    match code {
        IDENTITY => Form::Identity,
        _ if digest.is_empty() || len > digest_len_max(code) => Form::Other,
        _ => Form::Multihash,
    }
}

const IDENTITY: u64 = 0;

/// The digest lengths of the common functions (multiformats/multicodec `table.csv`); a digest may be cut short but
/// not be longer. Of the others nothing is known.
fn digest_len_max(code: u64) -> u64 {
    match code {
        // sha1
        0x11 => 20,
        // sha2-256, sha3-256, keccak-256, blake3's usual length, dbl-sha2-256
        0x12 | 0x16 | 0x1b | 0x1e | 0x56 => 32,
        // sha2-512, sha3-512, keccak-512
        0x13 | 0x14 | 0x1d => 64,
        // sha3-224
        0x17 => 28,
        // sha3-384, keccak-384
        0x15 | 0x1c => 48,
        // blake2b-8 to blake2b-512, blake2s-8 to blake2s-256
        0xb201..=0xb240 => code - 0xb200,
        0xb241..=0xb260 => code - 0xb240,
        _ => ContentKey::LEN_MAX as u64,
    }
}

/// An unsigned varint of at most 9 bytes in its shortest form, and what follows it (multiformats/unsigned-varint).
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let shortest = at == 0 || *byte != 0;
            return shortest.then(|| (value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multihash(code: &[u8], digest_len: u8) -> Vec<u8> {
        [code, &[digest_len], &vec![7; usize::from(digest_len)]].concat()
    }

    #[test]
    fn v1_announced_keys_have_1_to_80_bytes() {
        assert_eq!(announced(&[], AnnouncedKeys::Any), Err(Refused::Key(KeyError::Empty)));
        assert!(announced(&[9; 80], AnnouncedKeys::Any).is_ok());
        assert_eq!(announced(&[9; 81], AnnouncedKeys::Any), Err(Refused::Key(KeyError::TooLong { len: 81 })));
    }

    #[test]
    fn v7_announced_keys_are_multihashes_unless_the_config_says_any() {
        assert!(announced(&multihash(&[0x12], 32), AnnouncedKeys::Multihash).is_ok());
        for other in [&b"a name"[..], &[0x12, 0x20, 1], &[0x12], &[0x92, 0x00, 1, 1], &[0x80; 12]] {
            assert_eq!(announced(other, AnnouncedKeys::Multihash), Err(Refused::NotMultihash));
            assert!(announced(other, AnnouncedKeys::Any).is_ok());
        }
    }

    #[test]
    fn v20_identity_multihashes_are_never_announced() {
        let inlined = multihash(&[0], 36);
        assert_eq!(form(&inlined), Form::Identity);
        for kept in [AnnouncedKeys::Any, AnnouncedKeys::Multihash] {
            assert_eq!(announced(&inlined, kept), Err(Refused::IdentityMultihash));
        }
    }

    #[test]
    fn v20_a_digest_is_not_longer_than_its_function_gives() {
        assert_eq!(form(&multihash(&[0x12], 20)), Form::Multihash, "cut short");
        assert_eq!(form(&multihash(&[0x12], 33)), Form::Other);
        assert_eq!(form(&multihash(&[0xa0, 0xe4, 0x02], 32)), Form::Multihash, "blake2b-256");
        assert_eq!(form(&multihash(&[0xa0, 0xe4, 0x02], 33)), Form::Other);
        assert_eq!(form(&multihash(&[0x12], 0)), Form::Other);
    }
}
