//! The part of an identify message that the table needs (libp2p/specs `identify/README.md`).

use crate::net::protobuf::{self, Value};
use libp2p::{Multiaddr, StreamProtocol};

/// Addresses and protocols that are read of one message.
const ADDRESSES_MAX: usize = 256;
const PROTOCOLS_MAX: usize = 512;

/// What a peer says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Message {
    /// Where it listens; what is no address is left out.
    pub(in super::super) addresses: Vec<Multiaddr>,
    /// What it speaks.
    pub(in super::super) protocols: Vec<StreamProtocol>,
    /// Which program it is.
    pub(in super::super) agent: String,
}

const LISTEN_ADDRESS: u64 = 2;
const PROTOCOL: u64 = 3;
const AGENT: u64 = 6;

impl Message {
    /// Decodes a message without its length; nothing when it is none.
    pub(super) fn decode(mut rest: &[u8]) -> Option<Self> {
        let mut message = Self::default();
        while !rest.is_empty() {
            if let (number, Value::Bytes(value)) = protobuf::field(&mut rest)? {
                message.add(number, value);
            }
        }
        Some(message)
    }

    fn add(&mut self, field: u64, value: &[u8]) {
        let text = || std::str::from_utf8(value).ok().map(str::to_owned);
        match field {
            LISTEN_ADDRESS if self.addresses.len() < ADDRESSES_MAX => {
                self.addresses.extend(Multiaddr::try_from(value.to_vec()).ok());
            }
            PROTOCOL if self.protocols.len() < PROTOCOLS_MAX => {
                self.protocols.extend(text().and_then(|name| StreamProtocol::try_from_owned(name).ok()));
            }
            AGENT => self.agent = text().unwrap_or_default(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, (value.len() as u8 & 0x7f) | 0x80, (value.len() >> 7) as u8], value].concat()
    }

    #[test]
    fn known_fields_are_read_and_others_skipped() {
        let address: Multiaddr = "/ip4/1.1.1.1/tcp/1".parse().unwrap();
        let bytes = [
            field(1, &[7; 300]),
            field(2, &address.to_vec()),
            field(2, &[0xff; 9]),
            field(3, b"/ipfs/kad/1.0.0"),
            field(3, b"no slash"),
            vec![9 << 3, 0x96, 1],
            vec![10 << 3 | 5, 1, 2, 3, 4],
            vec![11 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8],
            field(6, b"kubo"),
        ];
        let expected = Message {
            addresses: vec![address],
            protocols: vec![StreamProtocol::new("/ipfs/kad/1.0.0")],
            agent: "kubo".to_owned(),
        };
        assert_eq!(Message::decode(&bytes.concat()), Some(expected));
    }

    #[test]
    fn what_is_no_message_is_none() {
        let whole = field(3, b"/ipfs/kad/1.0.0");
        for len in 1..whole.len() {
            assert_eq!(Message::decode(&whole[..len]), None, "{len} bytes");
        }
        for bytes in [&[0xff; 20][..], &[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &[3]]
        {
            assert_eq!(Message::decode(bytes), None, "{bytes:?}");
        }
    }
}
