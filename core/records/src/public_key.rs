//! Public keys, bounded before any arithmetic.

use crate::{Error, PUBLIC_KEY_BYTES_MAX};
use libp2p_identity::{KeyType, PeerId, PublicKey};
use std::ops::RangeInclusive;

/// What go-libp2p accepts (`core/crypto/rsa_common.go`).
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// Decodes a serialized public key and checks that it is the one of `peer`.
///
/// Costs the decompression of a point for Ed25519 and secp256k1, a copy for RSA, and a hash.
pub(crate) fn decode(bytes: &[u8], peer: &PeerId) -> Result<PublicKey, Error> {
    if bytes.len() > PUBLIC_KEY_BYTES_MAX {
        return Err(Error::PublicKey);
    }
    let key = PublicKey::try_decode_protobuf(bytes).map_err(|_| Error::PublicKey)?;
    if key.key_type() == KeyType::RSA {
        let rsa = key.clone().try_into_rsa().map_err(|_| Error::PublicKey)?;
        let bits = modulus_bits(&rsa.encode_pkcs1()).ok_or(Error::PublicKey)?;
        if !RSA_BITS.contains(&bits) {
            return Err(Error::RsaBits { bits });
        }
    }
    if key.to_peer_id() == *peer { Ok(key) } else { Err(Error::WrongKey) }
}

/// The length of the first integer of a DER sequence of two, and nothing else.
fn modulus_bits(pkcs1: &[u8]) -> Option<usize> {
    let (body, rest) = der(0x30, pkcs1)?;
    let (modulus, exponent) = der(0x02, body)?;
    let (exponent, after) = der(0x02, exponent)?;
    let plain = rest.is_empty() && after.is_empty() && !exponent.is_empty();
    // A leading zero keeps a number whose first bit is set from being negative.
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let zeros = modulus.first()?.leading_zeros() as usize;
    plain.then(|| modulus.len() * 8 - zeros)
}

/// A value with this tag, and what follows it.
fn der(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match bytes {
        [first, len, rest @ ..] if *first == tag && *len < 0x80 => (usize::from(*len), rest),
        [first, 0x81, len, rest @ ..] if *first == tag => (usize::from(*len), rest),
        [first, 0x82, high, low, rest @ ..] if *first == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}
