//! The network: heads, the peer table that they share, and the requests that reach them.
//!
//! [`head`] uses [`requests`], which uses [`routing`], which uses the list of [`heads`].

pub mod address;
pub(crate) mod autonat;
mod dial_budget;
pub(crate) mod dial_gate;
pub(crate) mod ebb;
pub(crate) mod head;
pub(crate) mod heads;
pub(crate) mod own_addresses;
pub(crate) mod peer_addresses;
pub(crate) mod ports;
mod protobuf;
pub(crate) mod reachability;
pub(crate) mod requests;
pub(crate) mod routing;
pub(crate) mod supervise;
pub(crate) mod swarm;
pub mod unique_peers;
