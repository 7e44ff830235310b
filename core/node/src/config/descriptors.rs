//! The file descriptors that a config needs.

use super::tables::{Config, Transport};
use serde_json::Value;

/// Connections to the operator pages, and their listener.
const HTTP: u64 = 33;
/// The log, the runtime, and the files that are open for a moment.
const PROCESS: u64 = 64;
/// The files of an embedded store, or the connections of one whose table does not say how many it opens.
const STORE: u64 = 256;

/// The file descriptors that a config needs, by what needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// The listeners: heads times listen addresses times transports.
    pub(crate) listeners: u64,
    /// Established connections at their maximum; QUIC needs none.
    pub(crate) connections: u64,
    /// Connections that are being established, at their maximum.
    pub(crate) pending: u64,
    /// The store.
    pub(crate) store: u64,
    /// The operator pages.
    pub(crate) http: u64,
    /// Everything else.
    pub(crate) process: u64,
}

impl Descriptors {
    /// What this config needs.
    pub(crate) fn of(config: &Config) -> Self {
        let heads = &config.heads;
        let (count, marks) = (u64::from(heads.count), &config.connections);
        let over_tcp =
            |connections: u64| if heads.transports.contains(&Transport::Tcp) { connections } else { 0 };
        let (node_max, head_max) = (u64::from(marks.per_node_max), u64::from(marks.per_head_max));
        let connections = config.store.settings.get("connections_max").and_then(Value::as_u64);
        Self {
            listeners: count * heads.listen.len() as u64 * heads.transports.len() as u64,
            connections: over_tcp(node_max.min(count.saturating_mul(head_max))),
            pending: over_tcp(count.saturating_mul(marks.pending_max.into()).min(node_max)),
            store: if config.store.kind == "memory" { 0 } else { connections.unwrap_or(STORE) },
            http: if config.telemetry.http.enabled { HTTP } else { 0 },
            process: PROCESS,
        }
    }

    /// Without these the node cannot start.
    pub(crate) const fn least(&self) -> u64 {
        self.listeners + self.http + self.process
    }

    /// With these it never runs out.
    pub(crate) const fn all(&self) -> u64 {
        self.least() + self.store + self.connections + self.pending
    }
}
