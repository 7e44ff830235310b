//! A peer encoded once, to be copied into many answers.

use super::Connection;
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use std::fmt;

/// The fields id and addrs of one `Peer`, encoded; cloning shares the bytes.
///
/// Together with the connection field it never has more than [`Self::BYTES_MAX`] bytes in an answer: trailing addresses
/// are left out (Q9).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncodedPeer(Bytes);

/// The connection field takes this many bytes, when it is written at all.
const CONNECTION_LEN: usize = 2;

impl EncodedPeer {
    /// The longest `Peer`, in bytes (go-libp2p-kad-dht `MaxPeerRecordSize`).
    pub const BYTES_MAX: usize = 8192;

    /// Encodes the binary id of a peer and its binary addresses, which are not looked into.
    ///
    /// The first address that would make it too long, and all after it, are left out. The id is always kept; libp2p
    /// allows it 44 bytes.
    pub fn new<A: AsRef<[u8]>>(id: &[u8], addresses: impl IntoIterator<Item = A>) -> Self {
        let mut body = BytesMut::with_capacity(256);
        put_bytes(1, id, &mut body);
        for address in addresses {
            let address = address.as_ref();
            if body.len() + field_len(address.len()) > Self::BYTES_MAX {
                break;
            }
            put_bytes(2, address, &mut body);
        }
        // A table keeps this for days: no spare room.
        Self(Bytes::copy_from_slice(&body))
    }

    /// The encoded fields.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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

    /// The encoded fields as they go beside this connection: the last addresses make room for it where they must.
    pub(super) fn body(&self, connection: Connection) -> &[u8] {
        let len_max = Self::BYTES_MAX - CONNECTION_LEN;
        if connection == Connection::NotConnected || self.0.len() <= len_max {
            return &self.0;
        }
        let mut len = 0;
        for (nth, (field_len, _)) in self.fields().enumerate() {
            if nth > 0 && len + field_len > len_max {
                break;
            }
            len += field_len;
        }
        &self.0[..len]
    }

    /// Each field's whole length and its content.
    fn fields(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut rest = &self.0[..];
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
        write!(f, "EncodedPeer({} addresses in {} bytes)", self.addresses().count(), self.0.len())
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
        assert_eq!(peer.body(Connection::NotConnected), peer.as_bytes());
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
        assert_eq!(peer_of(8190).body(Connection::Connected).len(), 8190);
        for len in [8191, 8192] {
            let peer = peer_of(len);
            let body = peer.body(Connection::Connected);
            assert_eq!(body.len(), field_len(38) + field_len(8060), "the last address is dropped");
        }
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
