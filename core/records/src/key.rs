//! The key of a value record: a namespace and a binary peer id.

use crate::KeyError;
use libp2p_identity::PeerId;

/// What a record says about its peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// `/pk/`: the public key of the peer.
    PublicKey,
    /// `/ipns/`: where the peer's IPNS name points.
    Ipns,
}

impl Namespace {
    const ALL: [Self; 2] = [Self::PublicKey, Self::Ipns];

    /// The bytes before the peer id.
    pub fn prefix(self) -> &'static [u8] {
        match self {
            Self::PublicKey => b"/pk/",
            Self::Ipns => b"/ipns/",
        }
    }
}

/// The key of a value record, as the DHT calls it: `/pk/<binary peer id>` or `/ipns/<binary peer id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    namespace: Namespace,
    peer: PeerId,
}

/// The longest key that a peer id may inline, in bytes (libp2p peer ids specification).
const INLINED_MAX: usize = 42;

impl RecordKey {
    /// The longest key, in bytes.
    pub const LEN_MAX: usize = 6 + 2 + INLINED_MAX;

    /// A key of this namespace and peer.
    pub fn new(namespace: Namespace, peer: PeerId) -> Self {
        Self { namespace, peer }
    }

    /// Parses a key as it travels. Costs a comparison and a copy of at most [`Self::LEN_MAX`] bytes.
    ///
    /// # Errors
    /// [`KeyError::Namespace`] for other namespaces, which includes keys without one; [`KeyError::PeerId`] when the rest is neither a
    /// SHA-256 multihash nor an identity multihash of 1 to 42 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let split = |namespace: Namespace| Some((namespace, bytes.strip_prefix(namespace.prefix())?));
        let (namespace, id) = Namespace::ALL.into_iter().find_map(split).ok_or(KeyError::Namespace)?;
        let well_formed = match id {
            [0x12, 32, digest @ ..] => digest.len() == 32,
            [0, len, key @ ..] => {
                usize::from(*len) == key.len() && !key.is_empty() && key.len() <= INLINED_MAX
            }
            _ => false,
        };
        let peer = if well_formed { PeerId::from_bytes(id).ok() } else { None };
        Ok(Self { namespace, peer: peer.ok_or(KeyError::PeerId)? })
    }

    /// What the record is about.
    pub fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// Whose record it is.
    pub fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// The key as it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.namespace.prefix(), &self.peer.to_bytes()].concat()
    }

    /// The serialized public key that the peer id inlines.
    pub(crate) fn inlined(&self) -> Option<&[u8]> {
        let multihash = self.peer.as_ref();
        (multihash.code() == 0).then(|| multihash.digest())
    }
}
