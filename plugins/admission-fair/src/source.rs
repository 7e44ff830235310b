//! Where requests come from: a peer at an address, its host, its network.

use crate::config::Config;
use crate::pressure::Lane;
use hydra_api::PeerId;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// A prefix of addresses: its family and its leading bits. Relayed connections are a family of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    family: u8,
    bits: u128,
}

impl Prefix {
    pub(crate) fn whole(address: Option<IpAddr>) -> Self {
        Self::of(address, u32::BITS as u8, u128::BITS as u8)
    }

    pub(crate) fn host(address: Option<IpAddr>, config: &Config) -> Self {
        Self::of(address, config.ipv4_host_bits, config.ipv6_host_bits)
    }

    pub(crate) fn network(address: Option<IpAddr>, config: &Config) -> Self {
        Self::of(address, config.ipv4_network_bits, config.ipv6_network_bits)
    }

    /// The bits are 1 to 32 and 1 to 128.
    fn of(address: Option<IpAddr>, v4_bits: u8, v6_bits: u8) -> Self {
        match address {
            Some(IpAddr::V4(v4)) => Self { family: 4, bits: u128::from(v4.to_bits() >> (32 - v4_bits)) },
            Some(IpAddr::V6(v6)) => Self { family: 6, bits: v6.to_bits() >> (128 - v6_bits) },
            None => Self { family: 0, bits: 0 },
        }
    }
}

/// One count of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) lane: Lane,
    pub(crate) prefix: Prefix,
    pub(crate) peer: Option<&'a PeerId>,
}

impl Hash for Source<'_> {
    /// In few pieces: each costs as much as a short one does.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let kind = u64::from(self.prefix.family) << 1 | self.lane as u64;
        match u32::try_from(self.prefix.bits) {
            Ok(bits) if self.prefix.family != 6 => state.write_u64(kind << 32 | u64::from(bits)),
            _ => {
                state.write_u64(kind << 32);
                state.write_u128(self.prefix.bits);
            }
        }
        if let Some(peer) = self.peer {
            state.write(peer.as_bytes());
        }
    }
}
