//! The messages: what is asked, what is answered.
//!
//! The form on the wire is the `Message` of libp2p/specs `kad-dht`: type = 1, key = 2, record = 3, closerPeers = 8,
//! providerPeers = 9, clusterLevelRaw = 10; in a record key = 1, value = 2, timeReceived = 5; in a peer id = 1,
//! addrs = 2, connection = 3.

mod decode;
mod encode;
mod encoded_peer;

pub use decode::DecodeError;
pub(crate) use decode::Message;
pub(crate) use encode::{encode_answer, encode_request, fitting};
pub use encoded_peer::EncodedPeer;

use crate::Limits;
use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use std::sync::Arc;

/// The type of a message, as it is numbered on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Kind {
    /// PUT_VALUE
    PutValue = 0,
    /// GET_VALUE
    GetValue = 1,
    /// ADD_PROVIDER
    AddProvider = 2,
    /// GET_PROVIDERS
    GetProviders = 3,
    /// FIND_NODE
    FindNode = 4,
    /// PING
    Ping = 5,
}

impl Kind {
    fn from_wire(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::PutValue),
            1 => Some(Self::GetValue),
            2 => Some(Self::AddProvider),
            3 => Some(Self::GetProviders),
            4 => Some(Self::FindNode),
            5 => Some(Self::Ping),
            _ => None,
        }
    }
}

/// What the sender of a peer says about its connection to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Connection {
    /// Nothing is known; unknown numbers are read as this (F8).
    #[default]
    NotConnected = 0,
    /// There is a live connection.
    Connected = 1,
    /// There was one lately.
    CanConnect = 2,
    /// Connecting was tried and failed.
    CannotConnect = 3,
}

impl Connection {
    fn from_wire(number: i32) -> Self {
        match number {
            1 => Self::Connected,
            2 => Self::CanConnect,
            3 => Self::CannotConnect,
            _ => Self::NotConnected,
        }
    }
}

/// A peer as it stands in a message: its id and addresses have not been looked into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// The id, of any length.
    pub id: Bytes,
    /// The addresses in their binary form, at most [`Limits::peer_addresses_max`].
    pub addresses: Vec<Bytes>,
    /// What the sender says about its connection to the peer.
    pub connection: Connection,
}

impl Peer {
    /// A peer to be sent.
    pub fn new<'a>(id: &PeerId, addresses: impl IntoIterator<Item = &'a Multiaddr>) -> Self {
        let addresses =
            addresses.into_iter().map(|address| Bytes::copy_from_slice(address.as_ref())).collect();
        Self { id: id.to_bytes().into(), addresses, connection: Connection::NotConnected }
    }
}

/// A value record. Nothing of it has been validated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The key as it stands in the record.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// When it was received, in the words of the sender (RFC 3339 by custom; any bytes).
    pub time_received: Bytes,
}

/// A request. Keys are as they came, of any length, also empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who is close to this key?
    FindNode {
        /// The key, usually a peer id.
        key: Bytes,
    },
    /// Who provides this?
    GetProviders {
        /// The content key.
        key: Bytes,
    },
    /// These peers provide this.
    AddProvider {
        /// The content key.
        key: Bytes,
        /// The providers, at most [`Limits::provider_peers_max`].
        providers: Vec<Peer>,
    },
    /// What is the value of this?
    GetValue {
        /// The key.
        key: Bytes,
    },
    /// This is the value of this.
    PutValue {
        /// The key.
        key: Bytes,
        /// The record, when the request had one.
        record: Option<Record>,
    },
    /// Are you there?
    Ping {
        /// Whatever stood in the key; it is echoed.
        key: Bytes,
    },
}

impl Request {
    /// Decodes one frame, without its length prefix.
    ///
    /// Unknown fields are ignored (F6), lists are cut at their limits, closer peers are skipped. The parts share the
    /// memory of `frame`.
    ///
    /// # Errors
    /// [`DecodeError`] when it is no valid protobuf or its type is unknown (F5).
    pub fn decode(frame: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        Message::decode(frame, 0, limits.provider_peers_max, limits.peer_addresses_max).map(Self::from)
    }

    /// The request in one frame, without its length prefix.
    pub fn encode(&self) -> Bytes {
        let framed = encode_request(self);
        framed.bytes.slice(framed.prefix_len..)
    }

    /// The type on the wire.
    pub fn kind(&self) -> Kind {
        match self {
            Self::FindNode { .. } => Kind::FindNode,
            Self::GetProviders { .. } => Kind::GetProviders,
            Self::AddProvider { .. } => Kind::AddProvider,
            Self::GetValue { .. } => Kind::GetValue,
            Self::PutValue { .. } => Kind::PutValue,
            Self::Ping { .. } => Kind::Ping,
        }
    }

    /// The key.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::FindNode { key }
            | Self::GetProviders { key }
            | Self::AddProvider { key, .. }
            | Self::GetValue { key }
            | Self::PutValue { key, .. }
            | Self::Ping { key } => key,
        }
    }
}

impl From<Message> for Request {
    fn from(message: Message) -> Self {
        let Message { kind, key, record, providers, .. } = message;
        match kind {
            Kind::FindNode => Self::FindNode { key },
            Kind::GetProviders => Self::GetProviders { key },
            Kind::AddProvider => Self::AddProvider { key, providers },
            Kind::GetValue => Self::GetValue { key },
            Kind::PutValue => Self::PutValue { key, record },
            Kind::Ping => Self::Ping { key },
        }
    }
}

/// A peer in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPeer {
    /// The peer, encoded beforehand.
    pub peer: EncodedPeer,
    /// Whether there is a connection to it (Q10).
    pub connection: Connection,
}

impl From<EncodedPeer> for ListedPeer {
    fn from(peer: EncodedPeer) -> Self {
        Self { peer, connection: Connection::NotConnected }
    }
}

/// The providers of an answer: a list that many answers share, each beginning with another one of them (V14).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Providers {
    list: Arc<[ListedPeer]>,
    first: usize,
}

impl Providers {
    /// The providers of this list, beginning with the one at `first`; a number past the end goes round.
    pub fn beginning_at(list: Arc<[ListedPeer]>, first: usize) -> Self {
        Self { first: first.checked_rem(list.len()).unwrap_or(0), list }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each of them, in the order in which they are written.
    pub fn iter(&self) -> impl Iterator<Item = &ListedPeer> {
        let (before, from) = self.list.split_at(self.first);
        from.iter().chain(before)
    }
}

impl From<Vec<ListedPeer>> for Providers {
    fn from(list: Vec<ListedPeer>) -> Self {
        Self { list: list.into(), first: 0 }
    }
}

/// An answer. Type, key and cluster level are taken from the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Closer peers, the closest first, each with its best addresses first. They are written first, whole, while they
    /// fit.
    pub closer: Vec<ListedPeer>,
    /// Providers. Written after the closer peers, whole, while they fit (V13).
    pub providers: Providers,
    /// The record, if any. It is always written, so it must fit: an answer that it makes too long is reset.
    pub record: Option<Record>,
    /// A limit of this answer's frame in bytes without its length prefix, beside [`Limits::frame_bytes_max`], for a
    /// remote that reads short frames alone. An answer that is longer is trimmed (V17): to the first
    /// [`EncodedPeer::SMALL_ADDRESSES_MAX`] addresses of each peer, then to fewer providers, then to the ten closest
    /// peers, at last to fewer of their addresses. One that fits is sent as it is.
    pub frame_bytes_max: Option<usize>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An answer is written.
    Answer(Response),
    /// Nothing is written, and the stream goes on (V5).
    Silence,
    /// The stream is reset, and nothing is written.
    Reset,
}

/// What an answer repeats of its request (F7).
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    pub(crate) kind: Kind,
    pub(crate) key: Bytes,
    pub(crate) cluster_level: i32,
}

impl Echo {
    pub(crate) fn of(message: &Message) -> Self {
        Self { kind: message.kind, key: message.key.clone(), cluster_level: message.cluster_level }
    }
}

#[cfg(test)]
mod tests;
