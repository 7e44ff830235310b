//! The addresses of a provider, in one piece.

use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;
use std::time::Duration;

/// A list of binary multiaddrs, at most [`Addresses::BYTES_MAX`] in all, held encoded in one shared buffer.
///
/// The encoding is what stores keep: for each address its length as a little-endian `u16`, then its bytes. Cloning
/// copies no address.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Addresses(Bytes);

impl Addresses {
    /// The longest encoded list, in bytes (go-libp2p-kad-dht `MaxPeerRecordSize`).
    pub const BYTES_MAX: usize = 8192;

    /// How long addresses are served after they were last announced (go-libp2p-kad-dht `DefaultProviderAddrTTL`,
    /// requirement V11).
    pub const LIFE: Duration = Duration::from_secs(24 * 3600);

    /// How far `addresses_at` may lie behind the newest announcement, so that an announcement of known addresses need
    /// not be written each time. The node and the store may each leave out as much: what is left of [`Self::LIFE`]
    /// lasts until the next announcement, 22 h later (go-libp2p-kad-dht `DefaultReprovideInterval`).
    pub const SLACK: Duration = Duration::from_secs(30 * 60);

    /// No address.
    pub const fn none() -> Self {
        Self(Bytes::new())
    }

    /// As many of these as fit into [`Self::BYTES_MAX`], in their order; the rest is left out, as are empty ones.
    pub fn fitting<A: AsRef<[u8]>>(addresses: impl IntoIterator<Item = A>) -> Self {
        let mut encoded = BytesMut::new();
        for address in addresses {
            let address = address.as_ref();
            if address.is_empty() {
                continue;
            }
            if encoded.len() + 2 + address.len() > Self::BYTES_MAX {
                break;
            }
            encoded.put_u16_le(address.len() as u16);
            encoded.put_slice(address);
        }
        Self(encoded.freeze())
    }

    /// The list that [`Self::encoded`] gave.
    ///
    /// # Errors
    /// [`AddressesError`] when the bytes are no such list; nothing read from a store is trusted.
    pub fn from_encoded(encoded: Bytes) -> Result<Self, AddressesError> {
        if encoded.len() > Self::BYTES_MAX {
            return Err(AddressesError);
        }
        let mut rest = &encoded[..];
        while !rest.is_empty() {
            let (_, after) = split_first(rest).ok_or(AddressesError)?;
            rest = after;
        }
        Ok(Self(encoded))
    }

    /// The encoded list, to be stored.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// Each address in its binary form, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (address, after) = split_first(rest)?;
            rest = after;
            Some(address)
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn split_first(encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = encoded.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_le_bytes(*len));
    (len > 0).then(|| rest.split_at_checked(len))?
}

/// Bytes that are no encoded list of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded list of addresses")]
pub struct AddressesError;

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addresses({} in {} bytes)", self.iter().count(), self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_read_back_in_order() {
        let list = Addresses::fitting([&b"one"[..], b"", b"three"]);
        let again = Addresses::from_encoded(list.encoded().clone()).unwrap();
        assert_eq!(again.iter().collect::<Vec<_>>(), [&b"one"[..], b"three"]);
    }

    #[test]
    fn v16_a_list_holds_at_most_8_kib() {
        let list = Addresses::fitting(vec![[1u8; 100]; 1000]);
        assert_eq!(list.iter().count(), Addresses::BYTES_MAX / 102);
        assert!(list.encoded().len() <= Addresses::BYTES_MAX);
    }

    #[test]
    fn damaged_lists_are_refused() {
        for damaged in [&[1u8][..], &[0, 0], &[4, 0, 1], &[1, 0, 9, 1], &[0; 8193]] {
            assert_eq!(Addresses::from_encoded(Bytes::copy_from_slice(damaged)), Err(AddressesError));
        }
    }
}
