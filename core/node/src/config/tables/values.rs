//! Values that are text in a config.

use libp2p::PeerId;
use multiaddr::{Multiaddr, Protocol};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// An address with the id of its peer: `/ip4/192.0.2.1/tcp/4001/p2p/12D3…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerAddress {
    peer: PeerId,
    address: Multiaddr,
}

impl PeerAddress {
    /// The peer id at the end of the address.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// The whole address, the peer id included.
    pub const fn address(&self) -> &Multiaddr {
        &self.address
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;
    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        let address: Multiaddr =
            text.parse().map_err(|cause| PeerAddressError::Address { text: text.to_owned(), cause })?;
        match address.iter().last() {
            Some(Protocol::P2p(peer)) => Ok(Self { peer, address }),
            _ => Err(PeerAddressError::NoPeer { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for PeerAddress {
    type Error = PeerAddressError;
    fn try_from(text: String) -> Result<Self, PeerAddressError> {
        text.parse()
    }
}

impl From<PeerAddress> for String {
    fn from(address: PeerAddress) -> Self {
        address.address.to_string()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl JsonSchema for PeerAddress {
    fn schema_name() -> Cow<'static, str> {
        "PeerAddress".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A multiaddr that ends in `/p2p/` and the id of the peer.",
            "x-hydra-form": "a multiaddr that ends in `/p2p/` and the id of the peer",
            "examples": ["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"]
        })
    }
}

/// Text of a certain form, for the schema alone: what the form is, and an example.
macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $form:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) enum $name {}
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "x-hydra-form": $form, "examples": [$example] })
            }
        }
    };
}
form!(
    /// An IP address.
    Ip, "an IP address without a port", "0.0.0.0"
);
form!(
    /// An IP address and a port.
    Socket, "an IP address and a port", "127.0.0.1:9464"
);
form!(
    /// A multiaddr.
    Address, "a multiaddr", "/ip4/192.0.2.1/tcp/0"
);

/// Why a text is not a [`PeerAddress`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerAddressError {
    /// It is not a multiaddr.
    #[error("`{text}` is not a multiaddr: {cause}")]
    Address {
        /// The text.
        text: String,
        /// The parse error.
        cause: multiaddr::Error,
    },
    /// It does not end in a peer id.
    #[error("`{text}` does not end in /p2p/<peer id>")]
    NoPeer {
        /// The text.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_address_names_its_peer() {
        let text = "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ";
        let address: PeerAddress = text.parse().unwrap();
        assert_eq!(address.peer().to_base58(), "QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ");
        assert_eq!(String::from(address), text);
        let without = "/ip4/104.131.131.82/tcp/4001".parse::<PeerAddress>();
        assert!(matches!(without, Err(PeerAddressError::NoPeer { .. })), "{without:?}");
    }
}
