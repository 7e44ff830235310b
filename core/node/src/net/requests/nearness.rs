//! Which head is near to which key, by the peer table.

use crate::net::heads::HeadList;
use crate::net::routing::kad_id::KadId;
use crate::net::routing::table::Table;
use hydra_engine::Nearness;
use std::sync::Arc;

/// A head is near to a key if it is among this many servers closest to it: at so many a record is stored (k, requirement Q2).
const CLOSEST: usize = 20;

/// Measures by the servers that the peer table knows, the heads of this node included.
#[derive(Debug)]
pub(crate) struct TableNearness {
    table: Arc<Table>,
    heads: Arc<HeadList>,
}

impl TableNearness {
    pub(crate) const fn new(table: Arc<Table>, heads: Arc<HeadList>) -> Self {
        Self { table, heads }
    }
}

impl Nearness for TableNearness {
    /// A head that is not in the list any more is near: its last requests are served like those of others.
    fn is_near(&self, head: u32, key: &[u8]) -> bool {
        self.heads.peer(head).is_none_or(|peer| {
            let (own, target) = (KadId::of_peer(&peer), KadId::of_key(key));
            self.table.snapshot().is_among_closest(&own, &target, CLOSEST)
        })
    }
}
