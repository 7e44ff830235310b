//! The numbers of connections between which a head, and the whole node, is kept.

use crate::config::Connections;

/// The limits of the number of connections, of one head or of the node.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// At this number new connections are refused.
    pub max: u32,
    /// Above this number the least useful connections are closed …
    pub high: u32,
    /// … until this number is left.
    pub low: u32,
}

impl Marks {
    /// The limits of one head.
    pub(crate) fn of_head(connections: &Connections) -> Self {
        Self { max: connections.per_head_max, high: connections.per_head_high, low: connections.per_head_low }
    }

    /// The limits of the node.
    pub(crate) fn of_node(connections: &Connections) -> Self {
        Self { max: connections.per_node_max, high: connections.per_node_high, low: connections.per_node_low }
    }
}
