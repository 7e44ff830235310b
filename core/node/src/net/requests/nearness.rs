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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::AddressPolicy;
    use crate::net::heads::{Head, Status};
    use crate::net::routing::table::Limits;
    use libp2p::PeerId;
    use std::time::Instant;
    use tokio::sync::watch;

    const ROOMY: Limits = Limits {
        len_max: 10_000,
        bucket_len_max: 10_000,
        bucket_group_len_max: usize::MAX,
        group_len_max: usize::MAX,
        group_own_max: usize::MAX,
    };

    fn head(slot: u32) -> Head {
        Head::idle(slot, watch::channel(Status::default()).1)
    }

    /// How many of 1,000 keys are near to the head of this slot.
    fn near(nearness: &TableNearness, slot: u32) -> usize {
        (0..1_000u32).filter(|number| nearness.is_near(slot, &number.to_be_bytes())).count()
    }

    #[test]
    fn all_keys_are_near_by_a_small_table_and_few_by_a_large_one() {
        let table = Arc::new(Table::new(AddressPolicy::Any, ROOMY));
        let heads = Arc::new(HeadList::default());
        let nearness = TableNearness::new(Arc::clone(&table), Arc::clone(&heads));
        assert_eq!(near(&nearness, 7), 1_000, "to a head that is not in the list");
        heads.add(head(7));
        assert_eq!(near(&nearness, 7), 1_000, "by an empty table");
        let addresses = ["/ip4/1.2.3.4/tcp/4001".parse().unwrap()];
        for servers in 1..=400 {
            table.set_own(PeerId::random(), &addresses, Instant::now());
            match servers {
                19 => assert_eq!(near(&nearness, 7), 1_000, "by a table of 19 others"),
                400 => assert!((1..=150).contains(&near(&nearness, 7)), "{}", near(&nearness, 7)),
                _ => {}
            }
        }
    }
}
