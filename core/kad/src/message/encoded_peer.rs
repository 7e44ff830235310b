//! A peer encoded once, to be copied into many answers.

use super::Connection;
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use std::fmt;

/// The fields id and addrs of one `Peer`, encoded; cloning shares the bytes.
///
/// Together with the connection field it never has more than [`Self::BYTES_MAX`] bytes in an answer: trailing addresses
/// are left out (Q9). An answer that is trimmed (V17) carries the first [`Self::SMALL_ADDRESSES_MAX`] addresses and
/// [`Self::SMALL_BYTES_MAX`] bytes of it: the best addresses are to come first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncodedPeer {
    fields: Bytes,
    /// How much of the fields stands in an answer that is trimmed.
    small_len: usize,
}

/// The connection field takes this many bytes, when it is written at all.
const CONNECTION_LEN: usize = 2;

/// How much of each peer stands in an answer: its id always, of its addresses the first ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything (Q9).
    Whole,
    /// What an answer that is trimmed carries (V17).
    Small,
    /// As much of that as fits into so many bytes, the connection included.
    Within(usize),
}

impl EncodedPeer {
    /// The longest `Peer`, in bytes (go-libp2p-kad-dht `MaxPeerRecordSize`).
    pub const BYTES_MAX: usize = 8192;
    /// Addresses of it in an answer that is trimmed.
    pub const SMALL_ADDRESSES_MAX: usize = 4;
    /// The longest `Peer` in an answer that is trimmed, in bytes. Four addresses of every kind in use fit; a peer that
    /// tells longer ones does not push the others out.
    pub const SMALL_BYTES_MAX: usize = 512;

    /// Encodes the binary id of a peer and its binary addresses, which are not looked into.
    ///
    /// The first address that would make it too long, and all after it, are left out. The id is always kept; libp2p
    /// allows it 44 bytes.
    pub fn new<A: AsRef<[u8]>>(id: &[u8], addresses: impl IntoIterator<Item = A>) -> Self {
        let mut body = BytesMut::with_capacity(256);
        put_bytes(1, id, &mut body);
        let mut small_len = body.len();
        for (nth, address) in addresses.into_iter().enumerate() {
            let address = address.as_ref();
            if body.len() + field_len(address.len()) > Self::BYTES_MAX {
                break;
            }
            let before = body.len();
            put_bytes(2, address, &mut body);
            let small =
                nth < Self::SMALL_ADDRESSES_MAX && body.len() <= Self::SMALL_BYTES_MAX - CONNECTION_LEN;
            if small && small_len == before {
                small_len = body.len();
            }
        }
        // A table keeps this for days: no spare room.
        Self { fields: Bytes::copy_from_slice(&body), small_len }
    }

    /// The encoded fields.
    pub fn as_bytes(&self) -> &[u8] {
        &self.fields
    }

    /// The binary id.
    pub fn id(&self) -> &[u8] {
        self.fields().next().map_or(&[], |(_, id)| id)
    }

    /// The binary addresses, in order.
    pub fn addresses(&self) -> impl Iterator<Item = &[u8]> {
        self.fields().skip(1).map(|(_, address)| address)
    }

    /// Whether there is an address (Q7).
    pub fn has_addresses(&self) -> bool {
        self.addresses().next().is_some()
    }

    /// So much of the encoded fields, with room for this connection: the beginning of them, so nothing is copied.
    #[inline]
    pub(super) fn body(&self, connection: Connection, extent: Extent) -> &[u8] {
        let whole_max = Self::BYTES_MAX - CONNECTION_LEN;
        match extent {
            Extent::Whole if connection == Connection::NotConnected || self.fields.len() <= whole_max => {
                &self.fields
            }
            Extent::Whole => self.beginning(self.fields.len(), whole_max),
            Extent::Small => &self.fields[..self.small_len],
            Extent::Within(bytes_max) => {
                self.beginning(self.small_len, bytes_max.saturating_sub(connection_len(connection)))
            }
        }
    }

    /// So many whole fields of the first `len` bytes as fit into `len_max`, and the id in any case.
    #[cold]
    fn beginning(&self, len: usize, len_max: usize) -> &[u8] {
        let mut fitting = 0;
        for (nth, (field_len, _)) in self.fields().enumerate() {
            if nth > 0 && fitting + field_len > len_max.min(len) {
                break;
            }
            fitting += field_len;
        }
        &self.fields[..fitting]
    }

    /// Each field's whole length and its content.
    fn fields(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut rest = &self.fields[..];
        std::iter::from_fn(move || {
            let (_, after_key) = rest.split_first()?;
            let (content_len, content) = unsigned_varint::decode::usize(after_key).ok()?;
            let content = content.get(..content_len)?;
            let whole = field_len(content_len);
            rest = rest.get(whole..)?;
            Some((whole, content))
        })
    }
}

impl fmt::Debug for EncodedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedPeer({} addresses in {} bytes)", self.addresses().count(), self.fields.len())
    }
}

/// The length of the connection field.
pub(super) fn connection_len(connection: Connection) -> usize {
    if connection == Connection::NotConnected { 0 } else { CONNECTION_LEN }
}

/// The length of a field with a number below 16 and so many bytes of content.
pub(super) fn field_len(content_len: usize) -> usize {
    1 + encoded_len_varint(content_len as u64) + content_len
}

pub(super) fn put_bytes(tag: u32, bytes: &[u8], out: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer of exactly this many bytes, whose last address is a short one.
    fn peer_of(len: usize) -> EncodedPeer {
        let id = [7; 38];
        let long = vec![1; 8060];
        let rest = len - field_len(38) - field_len(8060) - 2;
        let peer = EncodedPeer::new(&id, [&long[..], &vec![2; rest][..]]);
        assert_eq!(peer.as_bytes().len(), len);
        peer
    }

    #[test]
    fn q9_exactly_8192_bytes_are_left_untouched() {
        let peer = peer_of(8192);
        assert_eq!(peer.addresses().count(), 2);
        assert_eq!(peer.body(Connection::NotConnected, Extent::Whole), peer.as_bytes());
    }

    #[test]
    fn q9_trailing_addresses_are_dropped_and_the_id_kept() {
        let (long, short) = ([1; 8190], [2; 10]);
        let peer = EncodedPeer::new(&[7; 38], [&short[..], &long[..], &short[..]]);
        assert_eq!(peer.addresses().collect::<Vec<_>>(), [&short[..]]);
        assert_eq!(peer.id(), [7; 38]);
    }

    #[test]
    fn q9_the_connection_counts() {
        assert_eq!(peer_of(8190).body(Connection::Connected, Extent::Whole).len(), 8190);
        for len in [8191, 8192] {
            let peer = peer_of(len);
            let body = peer.body(Connection::Connected, Extent::Whole);
            assert_eq!(body.len(), field_len(38) + field_len(8060), "the last address is dropped");
        }
    }

    #[test]
    fn v17_the_first_four_addresses_stand_for_a_peer_and_long_ones_do_not_push_others_out() {
        let told = |lengths: [usize; 6], extent| {
            let peer = EncodedPeer::new(&[7; 38], lengths.map(|len| vec![1; len]));
            [Connection::NotConnected, Connection::Connected].map(|connection| {
                let body = peer.body(connection, extent);
                assert!(body.len() + connection_len(connection) <= EncodedPeer::SMALL_BYTES_MAX);
                EncodedPeer { fields: Bytes::copy_from_slice(body), small_len: 0 }.addresses().count()
            })
        };
        assert_eq!(told([11; 6], Extent::Small), [4; 2]);
        assert_eq!(told([100; 6], Extent::Small), [4; 2], "two certificate hashes after an IPv6 address");
        assert_eq!(told([200; 6], Extent::Small), [2; 2]);
        assert_eq!(told([11, 600, 11, 11, 11, 11], Extent::Small), [1; 2], "the first ones alone");
        assert_eq!(told([11; 6], Extent::Within(500)), [4; 2]);
        let exactly_two = field_len(38) + 2 * field_len(11);
        assert_eq!(told([11; 6], Extent::Within(exactly_two)), [2, 1], "the connection counts");
        assert_eq!(told([11; 6], Extent::Within(0)), [0; 2], "the id in any case");
    }

    #[test]
    fn what_was_encoded_is_read_back() {
        let peer = EncodedPeer::new(b"id", [&b"one"[..], b"two"]);
        assert_eq!(
            (peer.id(), peer.addresses().collect::<Vec<_>>()),
            (&b"id"[..], vec![&b"one"[..], b"two"])
        );
        assert!(!EncodedPeer::new::<&[u8]>(b"id", []).has_addresses());
        let nobody = EncodedPeer::new::<&[u8]>(b"", []);
        assert!(nobody.id().is_empty() && !nobody.has_addresses());
    }
}
