//! A peer's row.

use bytes::Bytes;
use hydra_api::{Addresses, PeerId, UnixSeconds};

/// A peer as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Addresses,
    pub(crate) addresses_at: UnixSeconds,
}

impl Row {
    /// The row of its bytes, as `peer.lua` writes them; none if they are no row. Addresses that cannot be read are none.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first()?;
        let (peer, addresses) = rest.split_at_checked(usize::from(*len))?;
        Some(Self {
            peer: PeerId::new(peer).ok()?,
            addresses: Addresses::from_encoded(Bytes::copy_from_slice(addresses)).unwrap_or_default(),
            addresses_at: UnixSeconds(u32::from_be_bytes(*at)),
        })
    }

    /// The bytes of the row.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let peer = self.peer.as_bytes();
        // A peer id has at most 44 bytes.
        let len = [u8::try_from(peer.len()).unwrap_or(u8::MAX)];
        [&self.addresses_at.0.to_be_bytes()[..], &len, peer, &self.addresses.encoded()[..]].concat()
    }
}
