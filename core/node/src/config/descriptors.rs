//! The file descriptors that a config needs.

use super::tables::{Config, Connections, Transport};
use serde_json::Value;
use std::fmt;

/// Connections to the operator pages, their listener, and what is set aside for them.
const HTTP: u64 = 41;
/// The log, the runtime, and the files that are open for a moment.
const PROCESS: u64 = 64;
/// The files of an embedded store, or the connections of one whose table does not say how many it opens.
const STORE: u64 = 256;
/// QUIC duplicates the socket of a listener.
const PER_QUIC_LISTENER: u64 = 2;
/// A limit that is too low leaves this part of what the start does not need to connections that are being established.
const PENDING_PART: u64 = 4;
/// However low the limit is, the node takes so many connections, and so many that are being established.
const CONNECTIONS_MIN: u64 = 8;

/// How an operator raises the limit.
pub(crate) const RAISE: &str = "raise the limit (`LimitNOFILE=` of systemd, `ulimit -n` of a shell)";

/// The file descriptors that a config needs, by what needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// The listeners: heads times listen addresses times transports, and a watch of the interfaces for each that listens
    /// on all of them.
    pub(crate) listeners: u64,
    /// Established connections at their maximum; QUIC needs none.
    pub(crate) connections: u64,
    /// Connections that are being established, at their maximum.
    pub(crate) pending: u64,
    /// Dials under way and the connections of the scout, at their maximum: as many as inbound connections that are being
    /// established.
    pub(crate) dials: u64,
    /// The store.
    pub(crate) store: u64,
    /// The operator pages.
    pub(crate) http: u64,
    /// Everything else.
    pub(crate) process: u64,
}

/// A limit of file descriptors with which the node cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFew {
    needed: Descriptors,
    limit: u64,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Descriptors { listeners, http, process, .. } = self.needed;
        let (least, limit) = (self.needed.least(), self.limit);
        write!(
            f,
            "the node needs {least} file descriptors to start (listeners {listeners}, HTTP endpoints {http}, process \
             {process}), and the limit is {limit}"
        )
    }
}

impl TooFew {
    /// What an operator can do.
    pub(crate) fn remedy(&self) -> String {
        format!("{RAISE}, or lower `heads.count`, `heads.listen` or `heads.transports`")
    }
}

impl Descriptors {
    /// What this config needs.
    pub(crate) fn of(config: &Config) -> Self {
        let heads = &config.heads;
        let (count, marks) = (u64::from(heads.count), &config.connections);
        let over_tcp =
            |connections: u64| if heads.transports.contains(&Transport::Tcp) { connections } else { 0 };
        let (node_max, head_max) = (u64::from(marks.per_node_max), u64::from(marks.per_head_max));
        let pending_max = u64::from(marks.pending_max).saturating_mul(count);
        let connections = config.store.settings.get("connections_max").and_then(Value::as_u64);
        Self {
            listeners: count * per_head(config),
            connections: over_tcp(node_max.min(count.saturating_mul(head_max))),
            pending: over_tcp(pending_max.min(marks.pending_per_node_max.into())),
            dials: marks.pending_per_node_max.into(),
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
        self.least() + self.store + self.connections + self.pending + self.dials
    }

    /// Whether the node can start with so many.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) const fn suffice(&self, limit: u64) -> Result<(), TooFew> {
        if self.least() > limit { Err(TooFew { needed: *self, limit }) } else { Ok(()) }
    }

    /// The connection limits with which the node never runs out of so many descriptors; `None` if it does not anyway.
    pub(crate) fn fit(&self, connections: &Connections, limit: u64) -> Option<Connections> {
        // Connections by QUIC alone need none.
        if self.all() <= limit || self.connections == 0 {
            return None;
        }
        let spare = limit.saturating_sub(self.least());
        // A store that needs more than half of what is left opens files as it needs them.
        let room = spare - self.store.min(spare / 2);
        // Of both directions.
        let pending = self.pending.max(self.dials).min(CONNECTIONS_MIN.max(room / PENDING_PART / 2));
        let max = self.connections.min(CONNECTIONS_MIN.max(room.saturating_sub(2 * pending)));
        let scaled = |mark: u32| {
            let part = u64::from(mark) * max / u64::from(connections.per_node_max.max(1));
            u32::try_from(part).unwrap_or(u32::MAX)
        };
        Some(Connections {
            per_node_max: u32::try_from(max).unwrap_or(u32::MAX),
            per_node_high: scaled(connections.per_node_high),
            per_node_low: scaled(connections.per_node_low),
            pending_per_node_max: u32::try_from(pending).unwrap_or(u32::MAX),
            ..connections.clone()
        })
    }
}

/// What the listeners of one head need.
fn per_head(config: &Config) -> u64 {
    let heads = &config.heads;
    let listeners = heads.listen.iter().flat_map(|ip| heads.transports.iter().map(move |over| (ip, over)));
    let needed = listeners.map(|(ip, over)| {
        let socket = match over {
            Transport::Tcp => 1,
            Transport::Quic => PER_QUIC_LISTENER,
        };
        socket + u64::from(ip.is_unspecified())
    });
    needed.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Config {
        let mut config = Config::default();
        config.heads.count = 1;
        config.store.kind = "memory".to_owned();
        config
    }

    #[test]
    fn connections_are_lowered_to_what_the_limit_leaves() {
        let config = small();
        let needed = Descriptors::of(&config);
        assert_eq!(
            needed.listeners, 10,
            "of TCP and QUIC, of IPv4 and IPv6, and the watches of the interfaces"
        );
        assert_eq!(needed.fit(&config.connections, needed.all()), None);
        for limit in [needed.least(), 128, 256, 1_024, needed.all() - 1] {
            let fitted = needed.fit(&config.connections, limit).unwrap();
            assert!(
                fitted.per_node_low <= fitted.per_node_high && fitted.per_node_high <= fitted.per_node_max
            );
            // Those that are being established are of both directions.
            let total = needed.least() + u64::from(fitted.per_node_max + 2 * fitted.pending_per_node_max);
            assert!(total <= limit.max(needed.least() + 3 * CONNECTIONS_MIN), "{limit}: {fitted:?}");
        }
    }

    #[test]
    fn a_low_limit_raises_nothing() {
        let mut config = small();
        (config.connections.per_node_max, config.connections.pending_per_node_max) = (3, 2);
        let needed = Descriptors::of(&config);
        let fitted = needed.fit(&config.connections, needed.least()).unwrap();
        assert_eq!((fitted.per_node_max, fitted.pending_per_node_max), (3, 2));
        config.heads.transports = vec![Transport::Quic];
        config.store.kind = "fjall".to_owned();
        let needed = Descriptors::of(&config);
        assert_eq!(needed.fit(&config.connections, needed.least()), None, "QUIC needs none");
    }

    #[test]
    fn too_few_are_told_with_numbers() {
        let mut config = small();
        config.heads.count = 500;
        let needed = Descriptors::of(&config);
        let told = needed.suffice(256).unwrap_err().to_string();
        assert!(told.contains("needs 5105 file descriptors") && told.ends_with("the limit is 256"), "{told}");
        assert_eq!(needed.suffice(needed.least()), Ok(()));
    }
}
