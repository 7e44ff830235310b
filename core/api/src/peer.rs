//! The identity of a peer.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A libp2p peer id in its binary form (a multihash), 1 to [`PeerId::LEN_MAX`] bytes, kept inline.
///
/// An Ed25519 id has 38 bytes, a hashed one (RSA) 34; libp2p allows no more than 44.
#[derive(Clone, Copy)]
pub struct PeerId {
    len: u8,
    bytes: [u8; Self::LEN_MAX],
}

impl PeerId {
    /// The longest id there is, in bytes: an identity multihash of a 42 byte key (libp2p peer ids specification).
    pub const LEN_MAX: usize = 44;

    /// An id of these bytes; they are not looked into.
    ///
    /// # Errors
    /// [`PeerIdError`] when there are none, or more than [`Self::LEN_MAX`].
    pub fn new(bytes: &[u8]) -> Result<Self, PeerIdError> {
        if bytes.is_empty() || bytes.len() > Self::LEN_MAX {
            return Err(PeerIdError { len: bytes.len() });
        }
        let mut peer = Self { len: bytes.len() as u8, bytes: [0; Self::LEN_MAX] };
        peer.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(peer)
    }

    /// The bytes of the id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Bytes that are no [`PeerId`]: none, or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a peer id has 1 to {max} bytes, not {len}", max = PeerId::LEN_MAX)]
pub struct PeerIdError {
    /// How many there are.
    pub len: usize,
}

impl AsRef<[u8]> for PeerId {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}
impl Borrow<[u8]> for PeerId {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}
impl PartialEq for PeerId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for PeerId {}
impl Hash for PeerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}
/// Lower-case hexadecimal of the binary form; the node shows the usual base58.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(self.as_bytes(), f)
    }
}

pub(crate) fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
