//! Which server has which slot.

use super::address::Address;
use super::connector::{Connector, Wanted};
use super::node::Node;
use std::sync::Arc;

/// The slots of a cluster (Redis Cluster specification, *Key distribution model*).
pub(crate) const SLOTS: u16 = 16_384;

/// The masters, and which of them has which slot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The place in `nodes` of the master of each slot; of a cluster only.
    slots: Option<Arc<[u16]>>,
}

/// The master of no slot.
const NOBODY: u16 = u16::MAX;

impl Map {
    /// One server with all slots.
    pub(crate) fn of_one(node: Arc<Node>) -> Self {
        Self { nodes: vec![node], slots: None }
    }

    /// The masters of a cluster with their ranges of slots. Nodes of `before` are kept with their connections.
    pub(crate) fn of_cluster(
        ranges: &[(u16, u16, Address)],
        before: &Self,
        connector: &Arc<Connector>,
    ) -> Self {
        let mut slots = vec![NOBODY; usize::from(SLOTS)];
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        for (first, last, address) in ranges {
            let at = nodes.iter().position(|node| node.address == *address).unwrap_or_else(|| {
                let known = before.find(address);
                nodes.push(known.unwrap_or_else(|| Node::new(address.clone(), Wanted::Master, connector)));
                nodes.len() - 1
            });
            let range = usize::from(*first)..=usize::from((*last).min(SLOTS - 1));
            if let (Some(slots), Ok(at)) = (slots.get_mut(range), u16::try_from(at)) {
                slots.fill(at);
            }
        }
        Self { nodes, slots: Some(slots.into()) }
    }

    /// The same, but this slot belongs to that node.
    pub(crate) fn with(&self, slot: u16, address: &Address, connector: &Arc<Connector>) -> Self {
        let mut map = self.clone();
        let Some(slots) = &map.slots else { return map };
        let mut slots = slots.to_vec();
        let at = map.nodes.iter().position(|node| node.address == *address).unwrap_or_else(|| {
            map.nodes.push(Node::new(address.clone(), Wanted::Master, connector));
            map.nodes.len() - 1
        });
        if let (Some(slot), Ok(at)) = (slots.get_mut(usize::from(slot)), u16::try_from(at)) {
            *slot = at;
        }
        map.slots = Some(slots.into());
        map
    }

    /// True if the slots have masters of their own.
    pub(crate) fn is_cluster(&self) -> bool {
        self.slots.is_some()
    }

    pub(crate) fn find(&self, address: &Address) -> Option<Arc<Node>> {
        self.nodes.iter().find(|node| node.address == *address).cloned()
    }

    /// The master of a slot.
    pub(crate) fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        match &self.slots {
            None => self.nodes.first(),
            Some(slots) => self.nodes.get(usize::from(*slots.get(usize::from(slot))?)),
        }
    }
}
