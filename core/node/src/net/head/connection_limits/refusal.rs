//! Why a connection was refused.

use std::sync::atomic::{AtomicU64, Ordering};

/// A connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node has its maximum of connections.
    #[error("the node has its maximum of connections")]
    Node,
    /// The head has its maximum of connections.
    #[error("the head has its maximum of connections")]
    Head,
    /// The peer has its maximum of connections to the head.
    #[error("the peer has its maximum of connections")]
    Peer,
    /// The remote address has its maximum of connections.
    #[error("the remote host has its maximum of connections")]
    Host,
    /// The network of the remote address has its maximum of connections.
    #[error("the remote network has its maximum of connections")]
    Network,
    /// The node has its maximum of connections that are being established.
    #[error("the node has its maximum of connections that are being established")]
    PendingNode,
    /// The head has its maximum of connections that are being established.
    #[error("the head has its maximum of connections that are being established")]
    PendingHead,
    /// The remote address has its maximum of connections that are being established.
    #[error("the remote host has its maximum of connections that are being established")]
    PendingHost,
    /// The network of the remote address has its maximum of connections that are being established.
    #[error("the remote network has its maximum of connections that are being established")]
    PendingNetwork,
    /// The process is near its memory limit.
    #[error("the node is near its memory limit")]
    Memory,
}

impl Refusal {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Node,
        Self::Head,
        Self::Peer,
        Self::Host,
        Self::Network,
        Self::PendingNode,
        Self::PendingHead,
        Self::PendingHost,
        Self::PendingNetwork,
        Self::Memory,
    ];

    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Head => "head",
            Self::Peer => "peer",
            Self::Host => "host",
            Self::Network => "network",
            Self::PendingNode => "pending_node",
            Self::PendingHead => "pending_head",
            Self::PendingHost => "pending_host",
            Self::PendingNetwork => "pending_network",
            Self::Memory => "memory",
        }
    }
}

/// How many were refused, by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    pub(super) fn count(&self, refusal: Refusal) {
        self.0[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize].load(Ordering::Relaxed)
    }
}
